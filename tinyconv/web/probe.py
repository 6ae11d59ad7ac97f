"""Where one number of a layer's output comes from: the window, the kernel, the products and their sum.

All numbers are the network's own: windows are cut from the array that the layer got, and what they add up to is
compared with what the layer has put out (`adds_up`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyconv.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Reshape,
)
from tinyconv.layers.base import Layer
from tinyconv.layers.pooling import Pooling2D

Array = np.ndarray[Any, Any]
Explanation = dict[str, Any]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {  # of one number; "linear" is none of them
    "relu": lambda z: max(z, 0.0), "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh,
}
TOLERANCE = 1e-4  # of the largest term: float32 sums in another order


def explain(layer: Layer, x: Array, y: Array, place: Sequence[int]) -> Explanation:
    """How `layer` made y[place] from its input x; both without the batch axis, `place` an index of y.

    The result has JSON's types.  "kind" says which other keys there are; "value" is y[place], and "adds_up" whether the
    numbers given lead to it.
    """
    place = tuple(place)
    match layer:
        case Conv2D():
            found = _conv2d(layer, x, place)
        case MaxPooling2D() | AveragePooling2D():
            found = _pooling(layer, x, place)
        case Dense():
            found = _dense(layer, x, place)
        case Activation() if layer.activation.name == "softmax":
            found = {"kind": "softmax", "inputs": x, "result": _softmax(x)[place]}
        case Activation():
            found = _activated(layer.activation.name, x[place]) | {"kind": "activation"}
        case GlobalAveragePooling2D():
            window = x[..., place[0]]
            rows, columns = (list(range(size)) for size in window.shape)
            found = {"kind": "mean", "rows": rows, "columns": columns, "window": window, "result": window.mean()}
        case Flatten() | Reshape():
            source = np.unravel_index(np.ravel_multi_index(place, y.shape), x.shape)
            found = {"kind": "moved", "from": source, "result": x[source]}
        case _:
            same = x.shape == y.shape
            found = {"kind": "other", "input": x[place] if same else None, "result": y[place]}
    value = y[place]
    scale = max(1.0, abs(float(value)), *(float(np.abs(found[k]).max()) for k in ("inputs", "window") if k in found))
    adds_up = bool(np.isclose(found.pop("result"), value, rtol=TOLERANCE, atol=TOLERANCE * scale))
    return {key: plain(item) for key, item in (found | {"value": value}).items()} | {"adds_up": adds_up}


def window_of(layer: Conv2D | Pooling2D, place: Sequence[int]) -> tuple[list[int], list[int]]:
    """The rows and columns of the input that output pixel `place` looks at; padding is below 0 or beyond the edge."""
    size = layer.kernel_size if isinstance(layer, Conv2D) else layer.pool_size
    dilation = layer.dilation_rate if isinstance(layer, Conv2D) else (1, 1)
    rows, columns = (
        [place[axis] * layer.strides[axis] - layer.windows["padding"][axis][0] + step * dilation[axis]
         for step in range(size[axis])]
        for axis in (0, 1)
    )
    return rows, columns


def _conv2d(layer: Conv2D, x: Array, place: tuple[int, ...]) -> Explanation:
    """window (kh, kw, c) · kernel (kh, kw, c), summed channel by channel, plus the bias, through the activation."""
    rows, columns = window_of(layer, place)
    window = _cut(x, rows, columns, 0.0)
    kernel = layer.kernel.value[..., place[2]]
    sums = np.einsum("pqc,pqc->c", window, kernel, dtype=np.float64)  # (c,)
    bias = 0.0 if layer.bias is None else float(layer.bias.value[place[2]])
    return {
        "kind": "conv2d", "rows": rows, "columns": columns, "window": window, "kernel": kernel, "sums": sums,
        "bias": bias, **_activated(layer.activation.name, sums.sum() + bias),
    }


def _pooling(layer: Pooling2D, x: Array, place: tuple[int, ...]) -> Explanation:
    """The window (ph, pw) of one channel, NaN for padding, and its maximum, with the winner's place, or its mean."""
    rows, columns = window_of(layer, place)
    window = _cut(x[..., place[2]], rows, columns, np.nan)
    found: Explanation = {"rows": rows, "columns": columns, "window": window}
    if isinstance(layer, MaxPooling2D):
        winner = np.unravel_index(np.nanargmax(window), window.shape)
        return found | {"kind": "max", "winner": winner, "result": window[winner]}
    return found | {"kind": "mean", "result": np.nanmean(window)}


def _dense(layer: Dense, x: Array, place: tuple[int, ...]) -> Explanation:
    """All inputs, each times its weight, summed, plus the bias, through the activation."""
    bias = np.zeros(layer.units) if layer.bias is None else layer.bias.value
    z = x.astype(np.float64) @ layer.kernel.value + bias  # (units,)
    found = {"kind": "dense", "inputs": x, "weights": layer.kernel.value[:, place[0]], "bias": bias[place[0]]}
    if layer.activation.name == "softmax":
        return found | {"activation": "softmax", "total": z[place], "result": _softmax(z)[place]}
    return found | _activated(layer.activation.name, z[place])


def _activated(name: str, z: Any) -> Explanation:
    """What the activation called `name` makes of the number z."""
    return {"activation": name, "total": z, "result": _ACTIVATIONS.get(name, float)(z)}


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max())
    return powers / powers.sum()


def _cut(x: Array, rows: list[int], columns: list[int], padding: float) -> Array:
    """x[rows][:, columns] with `padding` where they lie outside of the image."""
    inside = np.ix_([0 <= r < x.shape[0] for r in rows], [0 <= c < x.shape[1] for c in columns])
    cut = np.full((len(rows), len(columns), *x.shape[2:]), padding, x.dtype)
    cut[inside] = x[np.ix_([r for r in rows if 0 <= r < x.shape[0]], [c for c in columns if 0 <= c < x.shape[1]])]
    return cut


def plain(item: Any) -> Any:
    """`item` as JSON's types; floats to seven digits, None for what is not finite."""
    if isinstance(item, np.ndarray | tuple | list):
        return [plain(part) for part in item]
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, float | np.floating):
        return float(f"{item:.7g}") if np.isfinite(item) else None
    return item
