"""Penalties on weights that are added to the loss, and their gradients.

    L1: l1 · Σ |w|, gradient l1 · sign(w)        L2: l2 · Σ w², gradient 2 · l2 · w
"""

from typing import Any

import numpy as np

from tinyconv import checks, serialization
from tinyconv.capturing import Capturable
from tinyconv.pieces import pieces, sum_of_squares

Array = np.ndarray[Any, Any]


class L1L2(Capturable):
    """l1 · Σ |w| + l2 · Σ w²: both penalties; L1 and L2 are this with the other one 0.

    One that `only_launches` is nothing but its l1 and l2.
    """

    only_launches = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = checks.number(l1, "l1", minimum=0)
        self.l2 = checks.number(l2, "l2", minimum=0)

    def penalty(self, w: Array) -> float:
        """Return the penalty of a weight, summed in float64."""
        magnitudes = sum(float(np.abs(piece).sum(dtype=np.float64)) for piece in pieces(w)) if self.l1 else 0.0
        return self.l1 * magnitudes + self.l2 * sum_of_squares(w)

    def add_gradient(self, w: Array, dw: Array) -> None:
        """Add the penalty's gradient to `dw` in place; `dw` must be C-contiguous, as a view of a flat buffer is.

        The absolute value has no slope at 0; its gradient there is taken as 0.
        """
        if not dw.flags.c_contiguous:
            raise ValueError("dw must be C-contiguous: the gradient is added to it in place.")
        for piece, gradient in zip(pieces(w), pieces(dw), strict=True):
            if self.l1:
                gradient += self.l1 * np.sign(piece)
            if self.l2:
                gradient += (2.0 * self.l2) * piece

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {"l1": self.l1, "l2": self.l2}


Regularizer = L1L2  # every regularizer is one of these


class L1(L1L2):
    """l1 · Σ |w|: drives weights to exactly 0."""

    only_launches = True

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """l2 · Σ w²: keeps weights small ("weight decay", for plain gradient descent)."""

    only_launches = True

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


CLASSES: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(identifier: Any) -> Regularizer | None:
    """Return the regularizer that is meant: one itself, its name, what `serialize` returned, or None for none.

    Raises ArgumentError when there is no such regularizer.

    >>> get("l2").get_config()
    {'l2': 0.01}
    """
    return None if identifier is None else serialization.resolve(identifier, CLASSES, Regularizer, "regularizer")


def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """Return {"class_name": …, "config": …} as JSON types, or None for None."""
    return None if regularizer is None else serialization.serialize(regularizer)
