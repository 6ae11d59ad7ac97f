"""ReLU on a GPU."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..cuda.launches import over_elements

_SOURCE = Source(Path(__file__).with_name("relu.cu"))


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = max(x, 0)."""
    y = ensure(out, x.shape, x.dtype, like=x)
    over_elements(_SOURCE, "forward", (contiguous(x), y))
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx: dy where y > 0 or y is NaN, else 0."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype, like=dy)
    over_elements(_SOURCE, "backward", (contiguous(dy), contiguous(y), dx))
    return dx
