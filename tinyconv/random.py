"""Named streams of counter-based random numbers: (seed, stream, step, element) → number.

The same on every backend, thread count and rank, in any order of asking, so a resumed run continues exactly.  Streams
in use: "init/<parameter>", "shuffle", "dropout/<layer>", "augment".  Only `bits` differs between rungs (in speed); what
is derived from them here is plain NumPy on the host.
"""

from math import prod
from operator import index
from typing import Any
from zlib import crc32

import numpy as np

from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.philox import definition as philox

Array = np.ndarray[Any, Any]


def key(seed: int, stream: str, step: Any = 0) -> PhiloxKey:
    """The key of one step of a stream: `seed` modulo 2⁶⁴, the CRC-32 of the stream's name, `step` modulo 2³².

    A step in device memory (an array of one uint32) stays there: a captured graph looks it up each time it runs.

    >>> key(0, "shuffle", 3)
    PhiloxKey(seed=0, stream=872307057, step=3)
    """
    if isinstance(step, int) or not np.ndim(step):
        step = index(step) % 2**32
    return PhiloxKey(index(seed) % 2**64, crc32(stream.encode()), step)


def uniform(source: PhiloxKey, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
    """Uniform float64 numbers in [low, high), 32 random bits each."""
    unit: Array = philox.bits(source, prod(shape)) * 2.0**-32
    return (low + (high - low) * unit).reshape(shape)


def normal(source: PhiloxKey, shape: tuple[int, ...], mean: float = 0.0, stddev: float = 1.0) -> Array:
    """Normal float64 numbers, by the transform of Box and Muller (1958) on pairs of 32-bit words."""
    return (mean + stddev * _standard_normal(source, prod(shape), offset=0)).reshape(shape)


def truncated_normal(source: PhiloxKey, shape: tuple[int, ...], mean: float = 0.0, stddev: float = 1.0) -> Array:
    """Normal float64 numbers, each drawn again until it lies within two standard deviations of the mean."""
    size = used = prod(shape)
    values = _standard_normal(source, size, offset=0)
    while (far := np.flatnonzero(np.abs(values) > 2.0)).size:
        used += used % 2  # `_standard_normal` takes its words in pairs
        values[far] = _standard_normal(source, far.size, offset=used)
        used += far.size
    return (mean + stddev * values).reshape(shape)


def permutation(source: PhiloxKey, size: int) -> Array:
    """A random order of 0 … size - 1 (int64): the order of 64-bit random keys, ties by place."""
    bits = philox.bits(source, 2 * size).astype(np.uint64)
    return np.argsort(bits[0::2] << np.uint64(32) | bits[1::2], kind="stable")


def _standard_normal(source: PhiloxKey, size: int, offset: int) -> Array:
    """`size` numbers of mean 0 and variance 1, from the `size` words (rounded up to even) that begin at `offset`."""
    pairs = -(-size // 2)
    bits = philox.bits(source, 2 * pairs, offset=offset)
    radius = np.sqrt(-2.0 * np.log((bits[:pairs] + 1.0) * 2.0**-32))  # of a number in (0, 1]: the logarithm is finite
    angle = 2.0 * np.pi * (bits[pairs:] * 2.0**-32)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]
