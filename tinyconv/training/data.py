"""Images and labels on their way into a network: checked before training starts, and gathered into batches.

The whole data set stays where it is, in the dtype it has (MNIST as bytes is 47 MB); only the batch at hand is converted
to the model's dtype, into memory that is used again for the next one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.checks import IMAGES_ADVICE, number, numeric_array
from tinyconv.errors import ArgumentError, DataError, ShapeError

if TYPE_CHECKING:
    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]

ROWS_PER_CHECK = 4096  # images looked through for NaN at a time


def check_images(x: Any, dtype: Any, name: str = "x") -> Array:
    """Return `x` as a C-contiguous numeric array of at least one sample, all of them finite, in `dtype` too.

    Raises DataError otherwise, with the index of the first bad image.
    """
    x = numeric_array(x, name, IMAGES_ADVICE)
    if x.ndim == 0 or len(x) == 0:
        raise DataError(f"{name} has no samples (shape {x.shape}): there is nothing to work on.")
    if x.dtype.kind == "f":
        for start in range(0, len(x), ROWS_PER_CHECK):
            with np.errstate(over="ignore"):
                rows = x[start : start + ROWS_PER_CHECK].astype(dtype, copy=False)
            bad = ~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            if bad.any():
                _refuse_image(x, start + int(bad.argmax()), dtype, name)
    return np.ascontiguousarray(x)


def _refuse_image(x: Array, index: int, dtype: Any, name: str) -> None:
    if np.isfinite(x[index]).all():
        raise DataError(f"{name}[{index}] has numbers that {np.dtype(dtype)} cannot hold: scale the images, to 0 … 1.")
    raise DataError(f"{name}[{index}] contains NaN or infinity: repair the images or leave those out.")


def check_labels(y: Any, samples: int, model: "Sequential", name: str = "y") -> Array:
    """Return `y` as a C-contiguous array: a class number for each sample (int64), or targets in the model's dtype.

    Raises ShapeError when there is not one for each sample, and DataError for labels that the model's loss refuses:
    class numbers that are fractions or out of range, targets of another shape, NaN.
    """
    y = numeric_array(y, name, "Number the classes 0, 1, 2, …")
    if y.ndim == 0 or len(y) != samples:
        length = "no length" if y.ndim == 0 else f"{len(y)} labels"
        raise ShapeError(f"{name} has {length}, but there are {samples} images: each needs exactly one.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"{name} contains NaN or infinity.")
    model.loss.targets(y, (samples, *model.output_shape[1:]), model.dtype)
    numbered = y.dtype.kind in "iu" and y.size == samples
    return np.ascontiguousarray(y, np.int64 if numbered else model.dtype)


def split(x: Array, y: Array, fraction: float) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
    """Return (training, validation) pairs: the last `fraction` of the samples, unshuffled, is for validation.

    Without a fraction there is no validation pair.  Raises ArgumentError outside of [0, 1) and when a part would be
    empty.
    """
    fraction = number(fraction, "validation_split", minimum=0, below=1)
    if fraction == 0:
        return (x, y), None
    kept = int(len(x) * (1 - fraction))
    if kept in (0, len(x)):
        raise ArgumentError(f"validation_split={fraction:g} of {len(x)} samples leaves one of the two parts empty.")
    return (x[:kept], y[:kept]), (x[kept:], y[kept:])


class Gatherer:
    """Copies rows of an array into a buffer of another dtype, without allocating."""

    def __init__(self, source: Array, rows: int, dtype: Any) -> None:
        rows = min(rows, len(source))
        self._source = source
        self._result = np.empty((rows, *source.shape[1:]), dtype)
        self._raw = self._result if source.dtype == self._result.dtype else np.empty(self._result.shape, source.dtype)

    def gather(self, rows: Array, out: Array | None = None) -> Array:
        """`source[rows]` converted, in `out`, or as a view of the buffer: the next call overwrites it."""
        result = self._result[: len(rows)] if out is None else out
        raw = result if self._raw is self._result else self._raw[: len(rows)]
        np.take(self._source, rows, axis=0, out=raw, mode="clip")  # the other modes make a temporary copy
        if raw is not result:
            np.copyto(result, raw, casting="unsafe")
        return result
