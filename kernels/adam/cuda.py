"""Adam on a GPU: p, g, m and v stream through once, 16 bytes of each for a thread."""

from pathlib import Path
from typing import Any

import numpy as np

from ..cuda.launcher import Source
from ..cuda.launches import changing, over_elements
from .definition import check

Array = np.ndarray[Any, Any]

_SOURCE = Source(Path(__file__).with_name("adam.cu"))


def step(
    p: Array, g: Array, m: Array, v: Array, *, step_size: float | Array, beta_1: float, beta_2: float, epsilon: float,
    decay: float | Array = 0.0,
) -> None:
    """Update p, m and v (all of one shape, 1-D) in place.

    `step_size` and `decay` may each be a float64 in device memory.
    """
    check(p, g, m, v)
    number = p.dtype.type
    (size, size_type), (shrink, shrink_type) = changing(step_size, np.float64), changing(decay, np.float64)
    over_elements(
        _SOURCE, "step", (p, g, m, v), size, number(beta_1), number(1.0 - beta_1), number(beta_2), number(1.0 - beta_2),
        number(epsilon), shrink, STEP_SIZE=size_type, DECAY=shrink_type,
    )
