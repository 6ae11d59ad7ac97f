"""One step of gradient descent with momentum in plain NumPy, with Keras's sign and scale of the velocity.

The velocity holds the learning rate already (PyTorch's does not), so that p moves by the velocity itself.  Nesterov's
look-ahead is in the form of Sutskever et al., "On the importance of initialization and momentum" (2013).
"""

from typing import Any

import numpy as np

from ..adam.definition import check

Array = np.ndarray[Any, Any]


def step(
    p: Array, g: Array, velocity: Array, *, learning_rate: float, momentum: float, nesterov: bool, decay: float = 0.0
) -> None:
    """Update p and velocity (1-D) in place."""
    check(p, g, velocity)
    p -= decay * p
    velocity[...] = momentum * velocity - learning_rate * g
    p += momentum * velocity - learning_rate * g if nesterov else velocity
