"""Numbers typed on the command line: a pair, padding, a kernel."""

import re
from math import isfinite
from typing import Any, Literal

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.kernels.geometry import Pair

Array = np.ndarray[Any, Any]

LARGEST = 1_000_000  # of a kernel's numbers: far beyond what shows anything, and no sum overflows


def pair(text: str, option: str) -> Pair:
    """Two whole numbers, as in "2,1"; one stands for both.

    >>> pair("2,1", "--stride"), pair("3", "--stride")
    ((2, 1), (3, 3))
    """
    parts = text.split(",")
    if len(parts) > 2 or not all(re.fullmatch(r"\s*[+-]?\d{1,9}\s*", part) for part in parts):
        raise ArgumentError(f"{option} takes one whole number or two, as in 2 or 2,1, but got {text!r}.")
    return int(parts[0]), int(parts[-1])


def padding(text: str) -> Literal["same", "valid"] | Pair:
    """What --padding takes: same, valid, or pixels."""
    if text in ("same", "valid"):
        return "same" if text == "same" else "valid"
    try:
        return pair(text, "--padding")
    except ArgumentError as problem:
        raise ArgumentError(f"--padding takes same, valid, or pixels, as in 1 or 1,2, but got {text!r}.") from problem


def kernel(text: str) -> Array:
    """A kernel (3, 3) or (5, 5), typed row by row; numbers may be fractions.

    >>> kernel("0 -1 0, -1 5 -1, 0 -1 1/2")
    array([[ 0. , -1. ,  0. ],
           [-1. ,  5. , -1. ],
           [ 0. , -1. ,  0.5]])
    """
    numbers = [_number(word) for word in re.sub(r"[\[\](),;]", " ", text).split()]
    side = {9: 3, 25: 5}.get(len(numbers))
    if side is None:
        raise ArgumentError(f"A kernel is 3×3 or 5×5: type 9 or 25 numbers, row by row; got {len(numbers)}: {text!r}.")
    return np.array(numbers).reshape(side, side)


def _number(word: str) -> float:
    over, slash, under = word.replace("−", "-").partition("/")
    try:
        number = float(over) / float(under) if slash else float(over)
    except (ValueError, ZeroDivisionError):
        number = float("nan")
    if not isfinite(number):
        raise ArgumentError(f'A kernel is made of numbers, as in "0 -1 0  -1 5 -1  0 -1 0", but {word!r} is none.')
    if abs(number) > LARGEST:
        raise ArgumentError(f"The numbers of a kernel are at most {LARGEST:,}, but got {word!r}.")
    return number
