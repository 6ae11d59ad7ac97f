"""The logistic function by its definition, written so that the exponential never overflows."""

import numpy as np

from ..arrays import check_shape, quiet
from ..contract import Array
from ..workspace import ensure


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = 1 / (1 + e⁻ˣ), which is eˣ / (1 + eˣ) for negative x."""
    y = ensure(out, x.shape, x.dtype)
    e = np.exp(-np.abs(x))
    y[...] = np.where(x < 0, e, 1) / (1 + e)
    return y


@quiet
def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx = dy · y(1 - y)."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype)
    dx[...] = dy * (y * (1 - y))
    return dx
