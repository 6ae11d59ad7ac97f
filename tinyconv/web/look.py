"""What a network makes of one drawing: every layer's output, or every layer's gradient, and how they go to the page.

A picture, as the page's messages call it, is a JSON header and arrays of signed bytes:

    4 bytes   length of the header, little-endian
    header    {"kind": "picture", …, "arrays": [{"name", "shape", "scale"}, …]}
    bytes     the arrays in that order; a number is byte · scale / 127

Images are sent map by map, (channels, height, width), because the page draws one map at a time.
"""

import json
import math
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyconv.layers.activated import ActivatedLayer
from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]

LEVELS = 127  # of brightness on each side of zero


@dataclass(frozen=True)
class Look:
    """One pass through a network; in the lists, entry 0 belongs to the drawing and entry i + 1 to layer i.

    `gradients` are those of the loss with respect to what `outputs` has in the same place; they and the rest are empty
    unless the pass went backwards too.
    """

    outputs: list[Array]
    milliseconds: float
    target: int
    loss: float | None = None
    gradients: list[Array] = field(default_factory=list)
    kernel_gradients: dict[int, Array] = field(default_factory=dict)  # by layer


def forward(model: Sequential, image: Array) -> Look:
    """Run `model`, which is in study mode, on `image` (28, 28, 1)."""
    began = time.perf_counter()
    probabilities = model.forward(image[np.newaxis])[0]
    outputs = [image, *(layer.output[0] for layer in model.layers if layer.output is not None)]
    return Look(outputs, 1000 * (time.perf_counter() - began), int(probabilities.argmax()))


def backward(model: Sequential, image: Array, target: int | None) -> Look:
    """Run `model` forward, and backward from the loss if the image should be read as `target` (None: as it is read).

    This is the backward pass by hand: the gradient of -log p_target goes through every layer's `backward`, from last to
    first.  As in training, the softmax takes it in one step with the loss, p - t: alone, the loss would divide by a
    probability that may be too small for that.
    """
    began = time.perf_counter()
    seen = forward(model, image)
    target = seen.target if target is None else target
    probabilities, last = seen.outputs[-1], model.layers[-1]
    assert isinstance(last, ActivatedLayer)  # a softmax, as `network.load` has seen to
    is_target = np.arange(len(probabilities)) == target
    chance = max(probabilities[target], np.finfo(probabilities.dtype).tiny)
    gradients = [np.where(is_target, -1 / chance, 0)]
    dx = last.backward_logits((probabilities - is_target)[np.newaxis])
    for layer in reversed(model.layers[:-1]):
        assert dx is not None  # nobody told the layer that its input's gradient is not needed
        gradients.append(dx[0])
        dx = layer.backward(dx)
    assert dx is not None
    gradients.append(dx[0])
    kernels = {
        index: layer.parameters[0].gradient.copy() for index, layer in enumerate(model.layers) if layer.parameters
    }
    milliseconds = 1000 * (time.perf_counter() - began)
    return Look(seen.outputs, milliseconds, target, -math.log(chance), gradients[::-1], kernels)


def picture(model: Sequential, seen: Look, serial: int) -> bytes:
    """What the page draws: the gradients if there are any, else the outputs; and the kernels that are pictures."""
    shown = seen.gradients or seen.outputs
    arrays = {"input": shown[0]} | {f"layer/{index}": array for index, array in enumerate(shown[1:])}
    return pack(
        arrays | _kernels(model), kind="picture", serial=serial, of="gradients" if seen.gradients else "outputs",
        target=seen.target, loss=_short(seen.loss), milliseconds=_short(seen.milliseconds),
        probabilities=[_short(p) for p in seen.outputs[-1]], ranges=[_range(array) for array in shown],
    )


def pack(arrays: dict[str, Array], **header: Any) -> bytes:
    """The arrays as signed bytes behind a JSON header; images are (height, width, channels)."""
    described, blobs = [], []
    for name, array in arrays.items():
        if array.ndim == 3:
            array = array.transpose(2, 0, 1)
        largest = float(np.abs(array).max(initial=0.0))
        scale = largest if np.isfinite(largest) and largest > 0 else 1.0
        levels = np.nan_to_num(array * (LEVELS / scale), nan=0.0).clip(-LEVELS, LEVELS)
        blobs.append(np.rint(levels).astype(np.int8).tobytes())
        described.append({"name": name, "shape": array.shape, "scale": scale})
    head = json.dumps({**header, "arrays": described}).encode()
    return b"".join([struct.pack("<I", len(head)), head, *blobs])


def _kernels(model: Sequential) -> dict[str, Array]:
    """The kernels (kh, kw, filters) of the convolutions that see one channel: each filter is one small picture."""
    kernels = {}
    for index, layer in enumerate(model.layers):
        weights = layer.parameters[0].value if layer.parameters else None
        if weights is not None and weights.ndim == 4 and weights.shape[2] == 1:
            kernels[f"kernel/{index}"] = weights[:, :, 0, :]
    return kernels


def _range(array: Array) -> list[float | None]:
    """Smallest, largest and mean number, and the share of zeros."""
    return [_short(number) for number in (array.min(), array.max(), array.mean(), np.mean(array == 0))]


def _short(number: Any) -> float | None:
    """Four digits of it for people; None for what is not finite."""
    return float(f"{number:.4g}") if number is not None and np.isfinite(number) else None
