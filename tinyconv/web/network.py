"""The lab's network: small enough to show every number of it, and what it learns from.

Each layer does one thing, so that one can step through them; it runs in study mode, where every layer keeps its output.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyconv.datasets import digits
from tinyconv.datasets.augment import Augment
from tinyconv.datasets.folders import cache_folder
from tinyconv.errors import ModelFileError
from tinyconv.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D, ReLU, Softmax
from tinyconv.models import Sequential, load_model
from tinyconv.random import key
from tinyconv.schedules import Schedule
from tinyconv.web import handwriting

Array = np.ndarray[Any, Any]

IMAGE = (28, 28, 1)
CLASSES = 10
LEARNING_RATE = 0.002
BATCH_SIZE = 32
FIRST_EPOCHS = 6  # of the training at the very first start
DRAWN = 4000  # digits drawn by `handwriting`, beside the real ones


class Data(NamedTuple):
    """Images (n, 28, 28, 1) float32 in [0, 1] and labels (n,) uint8: to learn from, and real ones to be tested on."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def build(backend: str, seed: int) -> Sequential:
    """The network with random weights, 3,826 of them."""
    model = Sequential(
        [
            Input(IMAGE),
            Conv2D(6, 5), ReLU(), MaxPooling2D(),  # (24, 24, 6), (12, 12, 6)
            Conv2D(12, 3), ReLU(), MaxPooling2D(),  # (10, 10, 12), (5, 5, 12)
            Flatten(), Dense(CLASSES), Softmax(),  # (300,), (10,)
        ],
        name="lab", backend=backend, seed=seed, fuse=False,
    )
    compile(model)
    return model


def load(path: Path, backend: str) -> Sequential:
    """The model saved at `path`, in study mode.

    Raises ModelFileError when there is none, or when it is not one that reads 28×28 grey images as ten probabilities.
    """
    model = load_model(path, backend=backend)
    if model.input_shape != (None, *IMAGE) or model.output_shape != (None, CLASSES):
        raise ModelFileError(
            f"{path} takes inputs of shape {model.input_shape} and gives {model.output_shape}; the lab page shows "
            f"networks that take {(None, *IMAGE)} and give {(None, CLASSES)}."
        )
    activation = getattr(model.layers[-1], "activation", None)
    if activation is None or activation.name != "softmax":
        raise ModelFileError(f"{path} does not end in a softmax: the lab page shows probabilities.")
    model.fuse = False
    if not model.compiled or model.metrics_names != ["loss", "accuracy"]:
        compile(model)
    if isinstance(model.optimizer.learning_rate, Schedule):  # it was for another training; the page changes a number
        model.optimizer.learning_rate = LEARNING_RATE
    return model


def compile(model: Sequential, learning_rate: float = LEARNING_RATE) -> None:
    """Say how the lab trains; the optimizer begins anew."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = learning_rate


def load_data() -> Data:
    """The bundled digits; to learn from, also the same ones moved and turned, and those that a program has drawn."""
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = _scaled(x), _scaled(x_test)
    change = Augment(
        rotation_range=10, shear_range=10, width_shift_range=2.0, height_shift_range=2.0, zoom_range=(0.95, 1.35)
    )
    moved = change(x, key(0, "lab/augment"))
    x_drawn, y_drawn = handwriting.digits(DRAWN)
    return Data(np.concatenate([x, moved, _scaled(x_drawn)]), np.concatenate([y, y, y_drawn]), x_test, y_test)


def trained_file() -> Path:
    """Where the network is kept after the training at the first start."""
    return cache_folder() / "lab" / "trained-1.safetensors"


def last_file() -> Path:
    """Where the network is kept after each epoch, and when the lab is closed after its weights were changed."""
    return cache_folder() / "lab" / "last.safetensors"


def _scaled(images: Array) -> Array:
    """Bytes (n, 28, 28) as float32 (n, 28, 28, 1) in [0, 1]."""
    return (images[..., np.newaxis] / np.float32(255)).astype(np.float32, copy=False)

