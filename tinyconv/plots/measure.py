"""How long each layer takes, forward and backward, how much arithmetic that is, and how many bytes it moves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv import random
from tinyconv.checks import whole_number
from tinyconv.devices import Device
from tinyconv.layers import Conv2D, Dense, Reshape

if TYPE_CHECKING:
    from tinyconv.layers.base import Layer
    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Cost:
    """One pass of one layer over a batch."""

    seconds: float
    flops: int  # multiplications and additions of convolution and dense layers; 0 for the others, which hardly have any
    nbytes: int  # of the arrays that the pass reads and writes, each once: about the least traffic that there can be

    @property
    def gflops_per_second(self) -> float:
        """10⁹ multiplications and additions per second."""
        return self.flops / self.seconds / 1e9


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs per training step."""

    name: str
    forward: Cost
    backward: Cost


def measure_layers(model: "Sequential", batch_size: int = 64, *, repeats: int = 5) -> list[LayerCost]:
    """Run every layer alone (study mode) on a random batch, and return what each costs, in order.

    Times are the median of `repeats` runs after one that does not count: it compiles and warms up.  Dropout and batch
    normalisation run as in training.  The weights' gradients are overwritten, the weights stay.  Raises StateError for
    a model that is not built.
    """
    batch_size, repeats = whole_number(batch_size, "batch_size", minimum=1), whole_number(repeats, "repeats", minimum=1)
    device = model.backend.device
    images = random.uniform(random.key(0, "profile"), (batch_size, *model.input_shape[1:])).astype(model.dtype)
    x: Array = device.asarray(images)
    costs = []
    for layer in model.layers:
        kept = [p.value.copy() for p in layer.parameters if not p.trainable]  # moving averages would move
        forward_seconds, y = _time(device, repeats, layer.forward, x, True)
        dy = device.asarray(np.ones(y.shape, model.dtype))
        backward_seconds, _ = _time(device, repeats, layer.backward, dy)
        for parameter, value in zip((p for p in layer.parameters if not p.trainable), kept, strict=True):
            parameter.value[...] = value
        flops = batch_size * _flops(layer)
        forward_bytes, backward_bytes = _traffic(layer, x, y)
        forward = Cost(forward_seconds, flops, forward_bytes)
        costs.append(LayerCost(layer.name, forward, Cost(backward_seconds, 2 * flops, backward_bytes)))
        x = y
    return costs


def _flops(layer: "Layer") -> int:
    """Of one image forward: a multiplication and an addition per weight and output pixel; backward has twice as many,
    for dx and for dw."""
    if isinstance(layer, Conv2D):
        return 2 * layer.kernel.value.size * prod(layer.output_shape[:2])
    if isinstance(layer, Dense):
        return 2 * layer.kernel.value.size
    return 0


def _traffic(layer: "Layer", x: Array, y: Array) -> tuple[int, int]:
    """Bytes forward (x, weights, y) and backward (dy, dx, and with weights: x, the weights, their gradients)."""
    if y is x or isinstance(layer, Reshape):
        return 0, 0  # Flatten and the like give their input another shape, and move nothing
    weights = sum(parameter.value.nbytes for parameter in layer.parameters)
    return x.nbytes + weights + y.nbytes, y.nbytes + x.nbytes + (x.nbytes + 2 * weights if weights else 0)


def _time(device: Device, repeats: int, run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Median seconds of run(*arguments), and what it returned."""
    result = run(*arguments)
    seconds = []
    for _ in range(repeats):
        device.synchronize()
        began = time.perf_counter()
        result = run(*arguments)
        device.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), result
