"""Working through big arrays piece by piece: no temporary array of their size, and sums always in the same order."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PIECE = 2**14  # elements


def pieces(array: Array) -> Iterator[Array]:
    """Views of the flattened array (of a flattened copy, if it is not C-contiguous), at most `PIECE` elements each.

    What lies on a GPU stays in one piece: there each would take a launch.
    """
    flat = array.reshape(-1)
    step = PIECE if isinstance(flat, np.ndarray) else max(flat.size, 1)
    return (flat[start : start + step] for start in range(0, flat.size, step))


def sum_of_squares(array: Array) -> float:
    """Σ a², in float64.  BLAS's dot product would be quicker, but it adds in an order that depends on its threads."""
    return sum(float(np.square(piece, dtype=np.float64).sum()) for piece in pieces(array))
