"""Dropout compiled: for a little of x at a time, words are made, compared and forgotten.

x is copied to `out` and worked on there.  That is for the compiler: it vectorises a loop only when what is written
cannot be what is read next, which it sees for one array, and cannot see for `x` and `out`, which may overlap.
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

PIECE = 2**12  # elements that one thread does at a time
WORDS = 2**9  # of them, how many have their words in memory: few, and a multiple of four


def forward(x: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return y with the shape of x, for 0 <= rate < 1; `out` may be x itself."""
    smallest, scale = np.uint32(threshold(rate)), x.dtype.type(1.0 / (1.0 - rate))
    out = ensure(out, x.shape, x.dtype)
    _forward(np.ascontiguousarray(x).reshape(-1), smallest, scale, *words_of(key), out.reshape(-1))
    return out


def backward(dy: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return dx: the same function of dy, with the mask regenerated from `key`."""
    return forward(dy, rate, key, out=out)


@jit(parallel=True)
def _forward(
    x: Array, smallest: np.uint32, scale: Any, seed: np.uint64, stream: np.uint64, steps: Array, out: Array
) -> None:
    zero, step = x.dtype.type(0), np.uint64(steps[0])
    for piece in numba.prange((x.size + PIECE - 1) // PIECE):
        words = np.empty(WORDS, np.uint32)
        for start in range(piece * PIECE, min((piece + 1) * PIECE, x.size), WORDS):
            for block in range(WORDS // 4):
                w0, w1, w2, w3 = four_words(np.uint64(start // 4 + block), seed, stream, step)
                i = 4 * block
                words[i] = w0
                words[i + 1] = w1
                words[i + 2] = w2
                words[i + 3] = w3
            y = out[start : start + WORDS]
            y[:] = x[start : start + WORDS]
            for i in range(y.size):
                y[i] = y[i] * scale if words[i] >= smallest else zero
