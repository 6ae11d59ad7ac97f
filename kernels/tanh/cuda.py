"""The hyperbolic tangent on a GPU."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..cuda.launches import over_elements

_SOURCE = Source(Path(__file__).with_name("tanh.cu"))


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = tanh(x)."""
    y = ensure(out, x.shape, x.dtype, like=x)
    over_elements(_SOURCE, "forward", (contiguous(x), y))
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx = dy · (1 - y²)."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype, like=dy)
    over_elements(_SOURCE, "backward", (contiguous(dy), contiguous(y), dx))
    return dx
