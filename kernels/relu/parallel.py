"""ReLU, compiled: branch-free selects that LLVM turns into vector instructions."""

import numpy as np
from numba import prange

from ..arrays import check_shape, flat
from ..contract import Array
from ..elementwise import CHUNK, chunks, filled_chunk
from ..jit import jit
from ..workspace import ensure


def forward(x: Array, *, out: Array | None = None) -> Array:
    """Return y = max(x, 0)."""
    y = ensure(out, x.shape, x.dtype)
    _forward(flat(x), y.reshape(-1), np.may_share_memory(x, y))
    return y


def backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Return dx: dy where y > 0 or y is NaN, else 0."""
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
    zero = y.dtype.type(0)
    values = filled_chunk(x, y, chunk, in_place)
    for i in range(values.size):
        values[i] = zero if values[i] <= zero else values[i]  # NaN is not <= 0 and stays


@jit(parallel=True)
def _backward(dy: Array, y: Array, dx: Array, in_place: bool) -> None:
    if y.size <= CHUNK:
        _backward_chunk(dy, y, dx, 0, in_place)
    else:
        for chunk in prange(chunks(y)):
            _backward_chunk(dy, y, dx, chunk, in_place)


@jit(inline=True)
def _backward_chunk(dy: Array, y: Array, dx: Array, chunk: int, in_place: bool) -> None:
    zero = y.dtype.type(0)
    gradients = filled_chunk(dy, dx, chunk, in_place)
    outputs = y[chunk * CHUNK : chunk * CHUNK + gradients.size]
    for i in range(gradients.size):
        gradient = gradients[i]
        gradients[i] = zero if outputs[i] <= zero else gradient
