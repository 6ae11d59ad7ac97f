"""Sigmoid and binary cross-entropy by their definitions."""

import numpy as np

from ..arrays import check_shape, quiet
from ..contract import Array
from ..workspace import ensure


@quiet
def loss_and_gradient(
    logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Return (losses (n,), dlogits (n, k))."""
    n, k = logits.shape
    check_shape(targets, (n, k), "targets")
    losses = ensure(out and out[0], (n,), logits.dtype)
    dlogits = ensure(out and out[1], (n, k), logits.dtype)
    e = np.exp(-np.abs(logits))
    losses[...] = (np.maximum(logits, 0) - logits * targets + np.log1p(e)).mean(axis=1)
    dlogits[...] = scale * (np.where(logits < 0, e, 1) / (1 + e) - targets) / k
    return losses, dlogits
