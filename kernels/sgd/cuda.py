"""Gradient descent with momentum on a GPU: p, g and velocity stream through once, 16 bytes of each for a thread."""

from pathlib import Path
from typing import Any

import numpy as np

from ..adam.definition import check
from ..cuda.launcher import Source
from ..cuda.launches import changing, over_elements

Array = np.ndarray[Any, Any]

_SOURCE = Source(Path(__file__).with_name("sgd.cu"))


def step(
    p: Array, g: Array, velocity: Array, *, learning_rate: float | Array, momentum: float, nesterov: bool,
    decay: float | Array = 0.0,
) -> None:
    """Update p and velocity (1-D) in place; `learning_rate` and `decay` may each be a float64 in device memory."""
    check(p, g, velocity)
    (rate, rate_type), (shrink, shrink_type) = changing(learning_rate, np.float64), changing(decay, np.float64)
    over_elements(
        _SOURCE, "step", (p, g, velocity), rate, p.dtype.type(momentum), np.int32(nesterov), shrink,
        LEARNING_RATE=rate_type, DECAY=shrink_type,
    )
