"""Sigmoid and binary cross-entropy, compiled: one thread per row; sums in float64."""

import math

from numba import prange

from ..arrays import check_shape, contiguous
from ..contract import Array
from ..elementwise import CHUNK
from ..jit import jit
from ..workspace import ensure


def loss_and_gradient(
    logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Return (losses (n,), dlogits (n, k)); targets in another dtype than the logits' are converted first."""
    n, k = logits.shape
    check_shape(targets, (n, k), "targets")
    losses = ensure(out and out[0], (n,), logits.dtype)
    dlogits = ensure(out and out[1], (n, k), logits.dtype)
    _loss_and_gradient(contiguous(logits), contiguous(targets, logits.dtype), float(scale), losses, dlogits)
    return losses, dlogits


@jit(parallel=True)
def _loss_and_gradient(logits: Array, targets: Array, scale: float, losses: Array, dlogits: Array) -> None:
    if logits.size <= CHUNK:
        for i in range(logits.shape[0]):
            losses[i] = _row(logits[i], targets[i], scale, dlogits[i])
    else:
        for i in prange(logits.shape[0]):
            losses[i] = _row(logits[i], targets[i], scale, dlogits[i])


@jit(inline=True)
def _row(logits: Array, targets: Array, scale: float, dlogits: Array) -> float:
    """Fill in dlogits for one row and return its loss."""
    loss = 0.0
    for k in range(logits.size):
        z, t = float(logits[k]), float(targets[k])
        e = math.exp(-abs(z))  # at most 1
        loss += (0.0 if z <= 0.0 else z) - z * t + math.log1p(e)
        dlogits[k] = scale * ((e if z < 0.0 else 1.0) / (1.0 + e) - t) / logits.size
    return loss / logits.size
