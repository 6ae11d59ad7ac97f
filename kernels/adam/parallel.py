"""Adam compiled: p, g, m and v stream through the processor once, and nothing else is touched."""

from typing import Any

import numba
import numpy as np

from ..jit import jit
from .definition import check

Array = np.ndarray[Any, Any]


def step(
    p: Array, g: Array, m: Array, v: Array, *, step_size: float, beta_1: float, beta_2: float, epsilon: float,
    decay: float = 0.0,
) -> None:
    """Update p, m and v (all of one shape, 1-D) in place."""
    check(p, g, m, v)
    number = p.dtype.type  # one dtype throughout: a float64 among float32 would make the whole loop float64
    _step(
        p, g, m, v, number(step_size), number(beta_1), number(1.0 - beta_1), number(beta_2), number(1.0 - beta_2),
        number(epsilon), number(decay),
    )


@jit(parallel=True)
def _step(
    p: Array, g: Array, m: Array, v: Array, step_size: Any, beta_1: Any, rest_1: Any, beta_2: Any, rest_2: Any,
    epsilon: Any, decay: Any,
) -> None:
    for i in numba.prange(p.size):
        m_i = beta_1 * m[i] + rest_1 * g[i]
        v_i = beta_2 * v[i] + rest_2 * (g[i] * g[i])
        m[i], v[i] = m_i, v_i
        p[i] = (p[i] - decay * p[i]) - step_size * m_i / (np.sqrt(v_i) + epsilon)
