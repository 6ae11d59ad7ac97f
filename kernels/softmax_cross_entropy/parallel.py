"""Softmax and cross-entropy, compiled: one thread per row; sums in float64.

Labels are best given as int64 and distributions in the dtype of the logits: anything else is converted first.
"""

import math

import numpy as np
from numba import prange

from ..arrays import check_shape, contiguous
from ..contract import Array
from ..elementwise import CHUNK
from ..jit import jit
from ..softmax.parallel import exponentials
from ..workspace import ensure


def loss_and_gradient(
    logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Return (losses, dlogits) for labels (n,) or distributions (n, k)."""
    n, k = logits.shape
    losses = ensure(out and out[0], (n,), logits.dtype)
    dlogits = ensure(out and out[1], (n, k), logits.dtype)
    if targets.ndim == 1:
        check_shape(targets, (n,), "targets")
        _labels(contiguous(logits), contiguous(targets, np.int64), float(scale), losses, dlogits)
    else:
        check_shape(targets, (n, k), "targets")
        _distributions(contiguous(logits), contiguous(targets, logits.dtype), float(scale), losses, dlogits)
    return losses, dlogits


@jit(parallel=True)
def _labels(z: Array, labels: Array, scale: float, losses: Array, dz: Array) -> None:
    if z.size <= CHUNK:
        for i in range(z.shape[0]):
            losses[i] = _label_row(z[i], labels[i], scale, dz[i])
    else:
        for i in prange(z.shape[0]):
            losses[i] = _label_row(z[i], labels[i], scale, dz[i])


@jit(inline=True)
def _label_row(z: Array, label: int, scale: float, dz: Array) -> float:
    """Fill in dz for one row and return its loss."""
    maximum, total = exponentials(z, dz)
    for k in range(z.size):
        dz[k] = scale * (dz[k] / total - (1.0 if k == label else 0.0))
    loss: float = math.log(total) - (z[label] - maximum)
    return loss


@jit(parallel=True)
def _distributions(z: Array, t: Array, scale: float, losses: Array, dz: Array) -> None:
    if z.size <= CHUNK:
        for i in range(z.shape[0]):
            losses[i] = _distribution_row(z[i], t[i], scale, dz[i])
    else:
        for i in prange(z.shape[0]):
            losses[i] = _distribution_row(z[i], t[i], scale, dz[i])


@jit(inline=True)
def _distribution_row(z: Array, t: Array, scale: float, dz: Array) -> float:
    """Fill in dz for one row and return its loss."""
    maximum, total = exponentials(z, dz)
    log_total = math.log(total)
    loss, weight = 0.0, 0.0
    for k in range(z.size):
        if t[k] != 0:  # where t is 0 the loss is 0, even if its logit is minus infinity
            loss += t[k] * (log_total - (z[k] - maximum))
        weight += t[k]
    for k in range(z.size):
        dz[k] = scale * (dz[k] / total * weight - t[k])
    return loss
