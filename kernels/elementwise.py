"""How compiled kernels walk over an array element by element: one thread per chunk, in place.

A chunk of the result is first filled with the values of the input, unless it is the input already, and then changed in
place.  A loop over a single array needs no check for overlaps, so LLVM vectorises it, in place or not.
"""

from typing import Any

from numba import prange

from .arrays import flat
from .contract import Array
from .jit import jit
from .workspace import ensure

CHUNK = 8192  # elements: they fit the nearest caches, and fewer are not worth waking a second thread for


@jit(inline=True)
def chunks(y: Array) -> int:
    """Number of chunks of the flat array `y`."""
    return (y.size + CHUNK - 1) // CHUNK


@jit(inline=True)
def filled_chunk(x: Array, y: Array, chunk: int, in_place: bool) -> Array:
    """That chunk of the flat array `y`, after copying the values of `x` there unless `in_place`."""
    start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, y.size)
    source, target = x[start:stop], y[start:stop]
    if not in_place:
        for i in range(target.size):
            target[i] = source[i]
    return target


def affine(x: Array, scale: float, offset: float, out: Array) -> Array:
    """out = x · scale + offset; `out` may be x."""
    number = out.dtype.type
    _affine(flat(x), number(scale), number(offset), ensure(out, x.shape, out.dtype).reshape(-1))
    return out


def follow(average: Array, value: Array, momentum: float) -> None:
    """average ← momentum · average + (1 - momentum) · value, in place; both (n,)."""
    number = average.dtype.type
    _follow(average, flat(value), number(momentum), number(1 - momentum))


@jit(parallel=True)
def _affine(x: Array, scale: Any, offset: Any, y: Array) -> None:
    for chunk in prange(chunks(y)):
        values = filled_chunk(x, y, chunk, False)
        for i in range(values.size):
            values[i] = values[i] * scale + offset


@jit()
def _follow(average: Array, value: Array, momentum: Any, rest: Any) -> None:
    for i in range(average.size):
        average[i] = average[i] * momentum + value[i] * rest
