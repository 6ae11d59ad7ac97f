"""Softmax, compiled: one thread per row; sums in float64."""

import math

from numba import prange

from ..arrays import check_shape, contiguous
from ..contract import Array
from ..elementwise import CHUNK
from ..jit import jit
from ..workspace import ensure


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = eˣ / Σ eˣ over the last axis."""
    y = ensure(out, x.shape, x.dtype)
    classes = x.shape[-1]
    _forward(contiguous(x).reshape(-1, classes), y.reshape(-1, classes))
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx = y · (dy - Σ dy·y)."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype)
    classes = y.shape[-1]
    _backward(contiguous(dy).reshape(-1, classes), contiguous(y).reshape(-1, classes), dx.reshape(-1, classes))
    return dx


@jit(inline=True)
def exponentials(z: Array, e: Array) -> tuple[float, float]:
    """Fill e with exp(z - maximum) for one row and return (maximum, Σ e); z and e may be the same array.

    A NaN anywhere makes the sum NaN, whether or not the maximum noticed it.
    """
    maximum = z[0]
    for k in range(1, z.size):
        maximum = z[k] if z[k] > maximum else maximum
    total = 0.0
    for k in range(z.size):
        e[k] = math.exp(z[k] - maximum)
        total += e[k]
    return maximum, total


@jit(parallel=True)
def _forward(x: Array, y: Array) -> None:
    if x.size <= CHUNK:
        for i in range(x.shape[0]):
            _forward_row(x[i], y[i])
    else:
        for i in prange(x.shape[0]):
            _forward_row(x[i], y[i])


@jit(inline=True)
def _forward_row(x: Array, y: Array) -> None:
    _, total = exponentials(x, y)
    for k in range(y.size):
        y[k] /= total


@jit(parallel=True)
def _backward(dy: Array, y: Array, dx: Array) -> None:
    if y.size <= CHUNK:
        for i in range(y.shape[0]):
            _backward_row(dy[i], y[i], dx[i])
    else:
        for i in prange(y.shape[0]):
            _backward_row(dy[i], y[i], dx[i])


@jit(inline=True)
def _backward_row(dy: Array, y: Array, dx: Array) -> None:
    dot = 0.0
    for k in range(y.size):
        dot += float(dy[k]) * y[k]
    for k in range(y.size):
        dx[k] = y[k] * (dy[k] - dot)
