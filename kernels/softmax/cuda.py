"""Softmax on a GPU: up to 32 threads for each row; sums in float64."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..cuda.launches import over_rows

_SOURCE = Source(Path(__file__).with_name("softmax.cu"))


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = eˣ / Σ eˣ over the last axis."""
    y = ensure(out, x.shape, x.dtype, like=x)
    columns = x.shape[-1]
    over_rows(_SOURCE, "forward", (contiguous(x), y), x.size // columns, columns)
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx = y · (dy - Σ dy·y)."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype, like=dy)
    columns = y.shape[-1]
    over_rows(_SOURCE, "backward", (contiguous(dy), contiguous(y), dx), y.size // columns, columns)
    return dx
