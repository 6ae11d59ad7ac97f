"""Dropout compiled: words are made, compared and forgotten in one pass over x, four elements per Philox block.

A piece of x is copied to `out` and worked on there, while it is in the first-level cache.  That is for the compiler: it
vectorises a loop only when what is written cannot be what is read next, which it sees for one array, and cannot see for
`x` and `out`, which may overlap.
"""

from typing import Any

import numba
import numpy as np

from ..contract import PhiloxKey
from ..jit import jit
from ..philox.parallel import four_words, words_of
from ..workspace import ensure
from .definition import threshold

Array = np.ndarray[Any, Any]

PIECE = 2**12  # elements; a multiple of four


def forward(x: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return y with the shape of x, for 0 <= rate < 1; `out` may be x itself."""
    smallest, scale = np.uint64(threshold(rate)), x.dtype.type(1.0 / (1.0 - rate))
    out = ensure(out, x.shape, x.dtype)
    _forward(np.ascontiguousarray(x).reshape(-1), smallest, scale, *words_of(key), out.reshape(-1))
    return out


def backward(dy: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return dx: the same function of dy, with the mask regenerated from `key`."""
    return forward(dy, rate, key, out=out)


@jit(parallel=True)
def _forward(
    x: Array, smallest: np.uint64, scale: Any, seed: np.uint64, stream: np.uint64, step: np.uint64, out: Array
) -> None:
    size = x.size
    zero = x.dtype.type(0)
    for piece in numba.prange((size + PIECE - 1) // PIECE):
        start = piece * PIECE
        length = min(PIECE, size - start)
        y = out[start : start + length]
        y[:] = x[start : start + length]
        for block in range(length // 4):
            w0, w1, w2, w3 = four_words(np.uint64(start // 4 + block), seed, stream, step)
            i = 4 * block
            y[i] = y[i] * scale if w0 >= smallest else zero
            y[i + 1] = y[i + 1] * scale if w1 >= smallest else zero
            y[i + 2] = y[i + 2] * scale if w2 >= smallest else zero
            y[i + 3] = y[i + 3] * scale if w3 >= smallest else zero
        words = four_words(np.uint64((start + length) // 4), seed, stream, step)
        for i in range(length - length % 4, length):  # what is left of the last piece
            y[i] = y[i] * scale if words[i % 4] >= smallest else zero
