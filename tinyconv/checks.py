"""Arguments that must be numbers within limits, or arrays of numbers: one check, one sentence."""

from math import isfinite, nan
from numbers import Real
from typing import Any

import numpy as np

from tinyconv.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]

IMAGES_ADVICE = "Are the images of different sizes, or the names of files?"


def number(
    value: object, name: str, *, minimum: float | None = None, above: float | None = None, maximum: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a float, when it is a finite number within the limits that are given.

    Raises ArgumentError otherwise.

    >>> number(0.9, "beta_1", minimum=0, below=1)
    0.9
    >>> number(1.0, "beta_1", minimum=0, below=1)
    Traceback (most recent call last):
    tinyconv.errors.ArgumentError: beta_1 must be a number of at least 0 and below 1, but got 1.0.
    """
    result = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    if (
        isfinite(result)
        and (minimum is None or result >= minimum)
        and (above is None or result > above)
        and (maximum is None or result <= maximum)
        and (below is None or result < below)
    ):
        return result
    limits = [("of at least", minimum), ("above", above), ("of at most", maximum), ("below", below)]
    words = " and ".join(f"{relation} {limit}" for relation, limit in limits if limit is not None) or "that is finite"
    raise ArgumentError(f"{name} must be a number {words}, but got {value!r}.")


def whole_number(value: object, name: str, *, minimum: int = 0) -> int:
    """Return `value` as an int, when it is a whole number of at least `minimum`; raises ArgumentError otherwise.

    >>> whole_number(-1, "warmup_steps")
    Traceback (most recent call last):
    tinyconv.errors.ArgumentError: warmup_steps must be a whole number of at least 0, but got -1.
    """
    result = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    if result.is_integer() and result >= minimum:
        return int(result)
    raise ArgumentError(f"{name} must be a whole number of at least {minimum}, but got {value!r}.")


def host_array(values: Any, name: str) -> Array:
    """`values` as a NumPy array; raises DataError for what lies on a GPU, ValueError for rows of different lengths."""
    if not hasattr(values, "__cuda_array_interface__"):  # CuPy's, PyTorch's, … which NumPy cannot look at
        try:
            return np.asarray(values)
        except TypeError as problem:  # what CuPy and PyTorch say of a list of them
            raise DataError(f"{name} cannot be made a NumPy array: {str(problem).rstrip('.')}.") from problem
    raise DataError(f"{name} lies on a GPU; give it as a NumPy array, which cupy.asnumpy makes of it.")


def numeric_array(values: Any, name: str, advice: str) -> Array:
    """Return `values` as an array, when they are numbers in rows of one length; raises DataError otherwise.

    >>> numeric_array(["cat", "dog"], "y", "Number the classes.")
    Traceback (most recent call last):
    tinyconv.errors.DataError: y must hold numbers, but has dtype <U3. Number the classes.
    """
    try:
        array = host_array(values, name)
    except DataError:
        raise
    except ValueError as problem:  # NumPy's words for lists of lists or arrays that do not fit together
        raise DataError(f"{name} must be one array of numbers, but its parts differ in shape. {advice}") from problem
    if array.dtype.kind not in "buif":
        raise DataError(f"{name} must hold numbers, but has dtype {array.dtype}. {advice}")
    return array
