"""Whole trainings against each other: NumPy's and Numba's losses, and PyTorch's, step by step from the same weights.

The large network is compared in float64.  In float32, two pixels of a pooling window that differ in their last bit only
change places every few steps, with any two ways of summing; the losses then move apart by a few thousandths (PyTorch in
float32 from PyTorch in float64, too).
"""

import os
from functools import cache
from math import sqrt

import numpy as np
import pytest

from tinyconv import zoo
from tinyconv.datasets import digits, mnist
from tinyconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinyconv.models import Sequential
from tinyconv.optimizers import Adam


@cache
def training_images():
    """The first images (n, 28, 28, 1) of MNIST where TINYCONV_DATA is set, else of the digits; and their labels."""
    source = mnist if os.environ.get("TINYCONV_DATA") else digits
    (x, y), _ = source.load_data()
    return x[:1500, ..., None] / np.float32(255), y[:1500]


@pytest.fixture
def batches():
    """A function that cuts the training images into that many batches of that size, beginning again at their end."""

    def cut(count, size, dtype=np.float32):
        x, y = training_images()
        rows = [np.arange(i * size, (i + 1) * size) % len(x) for i in range(count)]
        return [(x[batch].astype(dtype), y[batch]) for batch in rows]

    return cut


def small(backend):
    layers = [
        Conv2D(6, (5, 5), strides=(2, 2), activation="relu", input_shape=(28, 28, 1)),
        MaxPooling2D((2, 2)),
        Dropout(0.2),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
    model = Sequential(layers, backend=backend, seed=1)
    model.compile(Adam(learning_rate=0.01), "categorical_crossentropy", metrics=["accuracy"])
    return model


def strided(backend="numba"):
    """Strides, padding on one side, and pooling windows that overlap."""
    layers = [
        Conv2D(8, (5, 5), strides=(2, 2), padding="same", activation="relu", input_shape=(28, 28, 1)),
        Conv2D(12, (2, 3), strides=(1, 2), padding="same", activation="tanh"),
        MaxPooling2D((3, 3), strides=(2, 1)),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
    model = Sequential(layers, backend=backend, seed=3)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def losses(model, some_batches):
    return np.array([model.train_on_batch(x, y)[0] for x, y in some_batches])


@pytest.mark.parametrize("build", [small, strided])
def test_numpy_and_numba_have_the_same_losses_for_100_steps(build, batches):
    numpy, numba = (losses(build(backend), batches(100, 16)) for backend in ("numpy", "numba"))
    assert numpy[-10:].mean() < 0.8 * numpy[:10].mean()  # it learns
    np.testing.assert_allclose(numba, numpy, rtol=1e-4)


@pytest.mark.slow
def test_numpy_and_numba_have_the_same_losses_on_a_reference_network(batches):
    numpy, numba = (
        losses(zoo.build("mnist_convnet", backend=backend, dtype="float64"), batches(100, 16, np.float64))
        for backend in ("numpy", "numba")
    )
    assert numpy[-10:].mean() < 0.5 * numpy[:10].mean()
    np.testing.assert_allclose(numba, numpy, rtol=1e-6)


# -- PyTorch ----------------------------------------------------------------------------------------------------------


def torch_mnist_convnet(nn):
    """The network, and the (height, width, channels) that it flattens."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(5 * 5 * 128, 128), nn.ReLU(), nn.Linear(128, 10),
    ), (5, 5, 128)  # fmt: skip


def torch_strided(nn):
    """28 → 14: 13 · 2 + 5 - 28 = 3 pixels are missing, 1 before and 2 after; 14×14 → 14×7: one below and one right."""
    return nn.Sequential(
        nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(),
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 12, (2, 3), stride=(1, 2)), nn.Tanh(),
        nn.MaxPool2d(3, stride=(2, 1)), nn.Flatten(), nn.Linear(6 * 5 * 12, 10),
    ), (6, 5, 12)  # fmt: skip


def copy_weights(torch, model, network, flattened):
    """Copy NHWC weights: kernels (kh, kw, in, out) → (out, in, kh, kw), dense (in, out) → (out, in), rows reordered."""
    height, width, channels = flattened
    network.to(torch.float64 if model.dtype == np.float64 else torch.float32)
    with torch.no_grad():
        for theirs, ours in zip(network.parameters(), model.get_weights(), strict=True):
            if ours.ndim == 4:
                ours = ours.transpose(3, 2, 0, 1)
            elif ours.ndim == 2:
                if len(ours) == height * width * channels:
                    ours = ours.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(len(ours), -1)
                ours = ours.T
            assert theirs.shape == ours.shape
            theirs.copy_(torch.from_numpy(ours.copy()))


def torch_losses(torch, network, some_batches, beta_2=0.999, epsilon=1e-7):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, betas=(0.9, beta_2))
    found = []
    for step, (x, y) in enumerate(some_batches, start=1):
        optimizer.param_groups[0]["eps"] = epsilon / sqrt(1 - beta_2**step)  # Keras adds ε before the bias correction
        optimizer.zero_grad()
        logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y.astype(np.int64)))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return np.array(found)


@pytest.mark.parametrize(
    ("build", "peer", "dtype", "distance"),
    [
        (lambda: zoo.build("mnist_convnet", dtype="float64"), torch_mnist_convnet, np.float64, 1e-6),
        (strided, torch_strided, np.float32, 1e-3),
    ],
    ids=["mnist_convnet", "strided"],
)
def test_the_loss_follows_pytorchs_for_50_steps(build, peer, dtype, distance, batches):
    torch = pytest.importorskip("torch")
    model, (network, flattened) = build(), peer(torch.nn)
    copy_weights(torch, model, network, flattened)
    some_batches = batches(50, 32, dtype)
    theirs, ours = torch_losses(torch, network, some_batches), losses(model, some_batches)
    assert theirs[-5:].mean() < 0.9 * theirs[:5].mean()  # it learns
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=distance)
