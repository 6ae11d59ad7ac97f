"""One Adam step in plain NumPy, as in the paper: two moving averages, of the gradient and of its square.

Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1; with `decay` it is AdamW: Loshchilov
and Hutter, "Decoupled weight decay regularization" (2019), where the decay does not pass through the averages.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def step(
    p: Array, g: Array, m: Array, v: Array, *, step_size: float, beta_1: float, beta_2: float, epsilon: float,
    decay: float = 0.0,
) -> None:
    """Update p, m and v (all of one shape, 1-D) in place."""
    check(p, g, m, v)
    p -= decay * p
    m[...] = beta_1 * m + (1.0 - beta_1) * g
    v[...] = beta_2 * v + (1.0 - beta_2) * (g * g)
    p -= step_size * m / (np.sqrt(v) + epsilon)


def check(p: Array, *others: Array) -> None:
    """Raise ValueError unless all arrays are 1-D and of the shape and dtype of p."""
    for other in others:
        if p.ndim != 1 or other.shape != p.shape or other.dtype != p.dtype:
            raise ValueError(
                f"an optimizer step needs 1-D arrays of one length and dtype, but got {p.dtype} {p.shape} and "
                f"{other.dtype} {other.shape}."
            )
