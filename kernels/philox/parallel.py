"""Philox4x32-10 compiled: one block of four words per loop turn, which the compiler does for several blocks at a time.

Words live in 64-bit registers whose upper half is 0, because the product of two words needs 64 bits; with the round
keys computed outside of the loop, a round is two multiplications and a few shifts and xors.
"""

from typing import Any

import numba
import numpy as np

from ..contract import PhiloxKey
from ..jit import jit
from ..workspace import ensure
from .definition import LOW, MULTIPLIERS, ROUNDS, WEYL

Array = np.ndarray[Any, Any]

# Typed, because Numba makes a signed integer of an untyped constant, and a float of signed with unsigned.
_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_W0, _W1 = np.uint64(WEYL[0]), np.uint64(WEYL[1])
_LOW, _32 = np.uint64(LOW), np.uint64(32)

PIECE = 2**10  # blocks that one thread does at a time


def bits(key: PhiloxKey, size: int, *, offset: int = 0, out: Array | None = None) -> Array:
    """Return the uint32 words offset … offset + size - 1 of `key`, shape (size,)."""
    out = ensure(out, (size,), np.uint32)
    _bits(*words_of(key), offset, out)
    return out


def words_of(key: PhiloxKey) -> tuple[np.uint64, np.uint64, Array]:
    """The key for compiled code: seed, stream, and the step as an array of one uint32: the key's own, if it has one."""
    return np.uint64(key.seed), np.uint64(key.stream), np.atleast_1d(np.asarray(key.step, np.uint32))


@jit(inline=True)
def four_words(block: np.uint64, seed: np.uint64, stream: np.uint64, step: np.uint64) -> tuple[np.uint64, ...]:
    """The words 4 · block … 4 · block + 3 of a key, as four uint64."""
    c0, c1, c2, c3 = block & _LOW, block >> _32, step, stream
    k0, k1 = seed & _LOW, seed >> _32
    for _ in range(ROUNDS):
        first, second = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (second >> _32) ^ c1 ^ k0, second & _LOW, (first >> _32) ^ c3 ^ k1, first & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@jit(parallel=True)
def _bits(seed: np.uint64, stream: np.uint64, steps: Array, offset: int, out: Array) -> None:
    """Fill `out`: whole blocks in parallel, then the words of a cut block at either end."""
    size, step = out.size, np.uint64(steps[0])
    head = min(-offset % 4, size)  # words before the first whole block
    first = (offset + head) // 4  # that block
    blocks = (size - head) // 4
    for piece in numba.prange((blocks + PIECE - 1) // PIECE):
        start, end = piece * PIECE, min((piece + 1) * PIECE, blocks)
        words = out[head + 4 * start : head + 4 * end]
        for block in range(end - start):
            i = 4 * block
            w0, w1, w2, w3 = four_words(np.uint64(first + start + block), seed, stream, step)
            words[i] = w0
            words[i + 1] = w1
            words[i + 2] = w2
            words[i + 3] = w3
    for rest in range(size - 4 * blocks):
        i = rest if rest < head else rest + 4 * blocks
        cut = four_words(np.uint64((offset + i) // 4), seed, stream, step)
        out[i] = cut[(offset + i) % 4]
