"""Dropout in plain NumPy: draw a word per element, keep the elements whose word reaches the threshold.

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014), in the inverted form:
what is kept grows by 1/(1-rate), so that the expected sum stays the same and nothing is left to do in use.
"""

from math import ceil
from typing import Any

import numpy as np

from ..contract import PhiloxKey
from ..philox import definition as philox
from ..workspace import ensure

Array = np.ndarray[Any, Any]


def threshold(rate: float) -> int:
    """The smallest word that keeps its element: words are uniform in 0 … 2³²-1, so a part `rate` of them is below.

    Raises ValueError unless 0 <= rate < 1.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"the dropout rate must be at least 0 and below 1, but is {rate}.")
    return ceil(rate * 2.0**32)


def forward(x: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return y with the shape of x, for 0 <= rate < 1; `out` may be x itself."""
    keep = philox.bits(key, x.size).reshape(x.shape) >= threshold(rate)
    out = ensure(out, x.shape, x.dtype)
    out[...] = np.where(keep, x * x.dtype.type(1.0 / (1.0 - rate)), 0)
    return out


def backward(dy: Array, rate: float, key: PhiloxKey, *, out: Array | None = None) -> Array:
    """Return dx: the same function of dy, with the mask regenerated from `key`."""
    return forward(dy, rate, key, out=out)
