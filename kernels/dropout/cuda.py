"""Dropout on a GPU: four elements and one Philox block for each thread; the mask is stored nowhere."""

from pathlib import Path
from typing import Any

import numpy as np

from ..contract import PhiloxKey
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..cuda.launches import over_elements
from ..philox.cuda import words_of
from .definition import threshold

Array = np.ndarray[Any, Any]

_SOURCE = Source(Path(__file__).with_name("dropout.cu"))


def forward(x: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return y with the shape of x, for 0 <= rate < 1; `out` may be x itself.

    The step of `key` may be a uint32 in device memory.
    """
    smallest, scale = np.uint64(threshold(rate)), x.dtype.type(1.0 / (1.0 - rate))
    out = ensure(out, x.shape, x.dtype, like=x)
    numbers, step_type = words_of(key)
    over_elements(_SOURCE, "forward", (contiguous(x), out), smallest, scale, *numbers, per_thread=4, STEP=step_type)
    return out


def backward(dy: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return dx: the same function of dy, with the mask regenerated from `key`."""
    return forward(dy, rate, key, out=out)
