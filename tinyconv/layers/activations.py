"""Activation functions by name: what a layer's `activation="relu"` means.

Each derivative can be told from the output y, so a layer keeps y and not the input: see `kernels.contract.Activation`.
"""

from typing import Any

import numpy as np

from tinyconv import backends
from tinyconv.backends import Backend
from tinyconv.capturing import Capturable
from tinyconv.errors import ArgumentError
from tinyconv.naming import suggestion

Array = np.ndarray[Any, Any]

NAMES = ("linear", "relu", "sigmoid", "softmax", "tanh")
_NUMPY = backends.get("numpy")


class ActivationFunction(Capturable):
    """One activation function: the operation of that name on a backend, or nothing at all for "linear"."""

    only_launches = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_linear = name == "linear"

    def forward(self, x: Array, out: Array | None = None, *, backend: Backend = _NUMPY) -> Array:
        """Return y with the shape of x, in `out` if given; `out` may be x.  Linear returns x itself."""
        if self.is_linear:
            return x
        y: Array = getattr(backend, self.name).forward(x, out=out)
        return y

    def backward(self, dy: Array, y: Array, out: Array | None = None, *, backend: Backend = _NUMPY) -> Array:
        """Return dx for the output y of `forward`, in `out` if given; `out` may be dy.  Linear returns dy itself."""
        if self.is_linear:
            return dy
        dx: Array = getattr(backend, self.name).backward(dy, y, out=out)
        return dx

    def __repr__(self) -> str:
        return f"ActivationFunction({self.name!r})"


def get(identifier: str | ActivationFunction | None) -> ActivationFunction:
    """Return the activation function called `identifier`; None means "linear".

    Raises ArgumentError when there is none of that name.

    >>> get("relu").forward(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if isinstance(identifier, ActivationFunction):
        return identifier
    name = "linear" if identifier is None else identifier
    if name not in NAMES:
        raise ArgumentError(f"There is no activation {name!r}. {suggestion(str(name), NAMES)}")
    return ActivationFunction(name)
