"""Philox4x32-10 in plain NumPy: ten rounds of multiply, exchange and xor scramble a counter into four random words.

One round, with the 64-bit products h:l of M0·c0 and H:L of M1·c2 (high and low halves), modulo 2³²:

    (c0, c1, c2, c3) ← (H ^ c1 ^ k0, L, h ^ c3 ^ k1, l)        then (k0, k1) ← (k0 + W0, k1 + W1) for the next round

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), section 4.3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..contract import PhiloxKey
from ..workspace import ensure

Array = np.ndarray[Any, Any]

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # M0, M1
WEYL = 0x9E3779B9, 0xBB67AE85  # W0, W1: the golden ratio and √3 - 1, in binary
LOW = 0xFFFFFFFF  # mask of the low 32 bits


def philox4x32(counter: Sequence[Array | int], key: tuple[int, int]) -> Array:
    """Return the four words (4, n) of each of n counters, given as four arrays (n,) or integers below 2³².

    >>> [hex(word) for word in philox4x32([0, 0, 0, 0], (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])  # 64 bits hold the whole product
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & LOW, first >> 32 ^ c3 ^ k1, first & LOW
        k0, k1 = k0 + WEYL[0] & LOW, k1 + WEYL[1] & LOW
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def bits(key: PhiloxKey, size: int, *, offset: int = 0, out: Array | None = None) -> Array:
    """Return the uint32 words offset … offset + size - 1 of `key`, shape (size,)."""
    out = ensure(out, (size,), np.uint32)
    first, end = offset // 4, (offset + size + 3) // 4
    block = np.arange(first, end, dtype=np.uint64)
    counter: list[Array | int] = [block & LOW, block >> 32, key.step, key.stream]
    words = philox4x32(counter, (key.seed & LOW, key.seed >> 32))  # (4, blocks)
    out[...] = words.T.reshape(-1)[offset - 4 * first :][:size]
    return out
