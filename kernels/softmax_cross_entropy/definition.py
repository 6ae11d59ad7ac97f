"""Softmax and cross-entropy by their definitions, from log-probabilities."""

import numpy as np

from ..arrays import check_shape, quiet
from ..contract import Array
from ..workspace import ensure


@quiet
def loss_and_gradient(
    logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Return (losses, dlogits) for labels (n,) or distributions (n, k)."""
    n, k = logits.shape
    labels = targets.ndim == 1
    check_shape(targets, (n,) if labels else (n, k), "targets")
    losses = ensure(out and out[0], (n,), logits.dtype)
    dlogits = ensure(out and out[1], (n, k), logits.dtype)
    t = np.eye(k, dtype=logits.dtype)[targets] if labels else targets
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (n, k)
    losses[...] = -np.where(t == 0, 0, t * log_p).sum(axis=1)
    dlogits[...] = scale * (np.exp(log_p) * t.sum(axis=1, keepdims=True) - t)
    return losses, dlogits
