"""The logistic function, compiled."""

import math

import numpy as np
from numba import prange

from ..arrays import check_shape, flat
from ..contract import Array
from ..elementwise import CHUNK, chunks, filled_chunk
from ..jit import jit
from ..workspace import ensure


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = 1 / (1 + e⁻ˣ)."""
    y = ensure(out, x.shape, x.dtype)
    _forward(flat(x), y.reshape(-1), np.may_share_memory(x, y))
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx = dy · y(1 - y)."""
    check_shape(y, dy.shape, "y")
    dx = ensure(out, dy.shape, dy.dtype)
    _backward(flat(dy), flat(y), dx.reshape(-1), np.may_share_memory(dy, dx))
    return dx


@jit(parallel=True)
def _forward(x: Array, y: Array, in_place: bool) -> None:
    if y.size <= CHUNK:
        _forward_chunk(x, y, 0, in_place)
    else:
        for chunk in prange(chunks(y)):
            _forward_chunk(x, y, chunk, in_place)


@jit(inline=True)
def _forward_chunk(x: Array, y: Array, chunk: int, in_place: bool) -> None:
    one = y.dtype.type(1)
    values = filled_chunk(x, y, chunk, in_place)
    for i in range(values.size):
        e = math.exp(-abs(values[i]))  # at most 1
        values[i] = (e if values[i] < 0 else one) / (one + e)


@jit(parallel=True)
def _backward(dy: Array, y: Array, dx: Array, in_place: bool) -> None:
    if y.size <= CHUNK:
        _backward_chunk(dy, y, dx, 0, in_place)
    else:
        for chunk in prange(chunks(y)):
            _backward_chunk(dy, y, dx, chunk, in_place)


@jit(inline=True)
def _backward_chunk(dy: Array, y: Array, dx: Array, chunk: int, in_place: bool) -> None:
    one = y.dtype.type(1)
    gradients = filled_chunk(dy, dx, chunk, in_place)
    outputs = y[chunk * CHUNK : chunk * CHUNK + gradients.size]
    for i in range(gradients.size):
        gradients[i] *= outputs[i] * (one - outputs[i])
