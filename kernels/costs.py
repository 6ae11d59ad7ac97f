"""Which rung convolves fastest: a model of two terms per rung, so that the choice is made from shapes alone.

    nanoseconds per image  =  COSTS[rung] · work(rung, shape)

The terms count multiply-adds, and what comes on top: the starts of the inner loop for `direct`, the elements of the
transformed tiles for `winograd`.  (`blocked` is no candidate: it does what `direct` does, and copies as well.)  Only
ratios matter, which differ far less between machines than the times do.

Nothing is ever timed while a network trains: two runs with one seed must take the same rungs, to end in the same bits.
`refit` makes a new table from measured times.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .contract import WeightShape
from .geometry import Padding, Pair, output_sizes

# Nanoseconds for forward and weight gradient of one image (the input gradient, which first layers do not need, costs
# about as much as forward), fitted on one core of an AMD EPYC 9005 (Zen 5, AVX-512), float32, for 33 shapes from 1 to
# 256 channels.  Most are predicted within 30 %; images of up to 3×3 outputs take longer than that.
COSTS = {"direct": (0.0171, 0.066), "winograd": (0.0158, 0.278)}


class Convolution(NamedTuple):
    """All that tells one convolution from another, but for the number of images."""

    image: tuple[int, int, int]  # h, w, c
    w_shape: WeightShape
    strides: Pair
    padding: Padding
    dilation: Pair
    dtype: np.dtype[Any]


def work(rung: str, shape: Convolution) -> tuple[float, float]:
    """The two terms of a rung for one image; both are infinite where it would hand over to another."""
    from .conv2d.winograd import supports, tiling  # here, for NumPy's users to do without Numba
    from .matmul import padded_columns

    kh, kw, c, f = shape.w_shape
    if rung == "winograd":
        if not supports(shape.w_shape, shape.strides, shape.dilation, shape.dtype):
            return float("inf"), float("inf")
        t = tiling((1, *shape.image), shape.w_shape, shape.padding, 6)
        values = t.n**2 * t.th * t.tw  # of all transformed tiles, per channel
        return values * c * f, values * (c + f)
    oh, ow = output_sizes(shape.image[:2], (kh, kw), shape.strides, shape.padding, shape.dilation)
    filters = padded_columns(f, shape.dtype)
    return oh * ow * kh * kw * c * filters, oh * ow * kh * filters


def nanoseconds(rung: str, shape: Convolution) -> float:
    """What the model says for one image."""
    return float(np.dot(COSTS[rung], work(rung, shape)))


def cheapest(rungs: Iterable[str], shape: Convolution) -> str:
    """The one of `rungs` that the model finds cheapest among those in COSTS; the first of equals."""
    return min((rung for rung in rungs if rung in COSTS), key=lambda rung: nanoseconds(rung, shape))


def refit(measurements: Iterable[tuple[str, Convolution, float]]) -> dict[str, tuple[float, float]]:
    """New COSTS from measurements (rung, shape, nanoseconds per image), two or more of each rung.

    The sum of squares of the *relative* errors is least, so that small layers count as much as big ones.
    """
    rows: dict[str, list[Any]] = {}
    for rung, shape, measured in measurements:
        rows.setdefault(rung, []).append(np.array(work(rung, shape)) / measured)
    fitted = {}
    for rung, scaled in rows.items():
        first, second = np.linalg.lstsq(np.array(scaled), np.ones(len(scaled)), rcond=None)[0]
        fitted[rung] = (float(first), float(second))
    return fitted
