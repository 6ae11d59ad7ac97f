"""Gradient descent with momentum compiled: p, g and velocity stream through the processor once."""

from typing import Any

import numba
import numpy as np

from ..adam.definition import check
from ..jit import jit

Array = np.ndarray[Any, Any]


def step(
    p: Array, g: Array, velocity: Array, *, learning_rate: float, momentum: float, nesterov: bool, decay: float = 0.0
) -> None:
    """Update p and velocity (1-D) in place."""
    check(p, g, velocity)
    number = p.dtype.type  # one dtype throughout: a float64 among float32 would make the whole loop float64
    _step(p, g, velocity, number(learning_rate), number(momentum), nesterov, number(decay))


@jit(parallel=True)
def _step(
    p: Array, g: Array, velocity: Array, learning_rate: Any, momentum: Any, nesterov: bool, decay: Any
) -> None:
    for i in numba.prange(p.size):
        move = momentum * velocity[i] - learning_rate * g[i]
        velocity[i] = move
        p[i] = (p[i] - decay * p[i]) + (momentum * move - learning_rate * g[i] if nesterov else move)
