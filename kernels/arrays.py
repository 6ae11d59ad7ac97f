"""What every rung asks of its arrays: the right shape, and for compiled code contiguous memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# For the definitions, as a decorator: infinity - infinity is NaN without a warning, as it is in compiled code.
quiet = np.errstate(over="ignore", invalid="ignore")


def check_shape(array: Array, shape: Sequence[int], name: str) -> None:
    """Raise ValueError unless `array`, called `name` in the sentence, has `shape`."""
    if array.shape != tuple(shape):
        raise ValueError(f"{name} has shape {array.shape}, but must have shape {tuple(shape)}.")


def contiguous(array: Array, dtype: Any = None) -> Array:
    """`array` itself when it is C-contiguous, aligned, writeable and of `dtype`, else a copy that is.

    Compiled code asks for writeable inputs too, though it does not write them: Numba would compile every kernel once
    more for read-only arrays, which takes longer than any copy.
    """
    return np.require(array, dtype, ("C", "A", "W"))


def flat(array: Array) -> Array:
    """All elements of `array` in row-major order, in one dimension; a copy only where `contiguous` makes one."""
    return contiguous(array).reshape(-1)
