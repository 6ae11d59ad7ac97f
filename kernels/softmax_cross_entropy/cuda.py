"""Softmax and cross-entropy on a GPU in one kernel: up to 32 threads for each row; sums in float64."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source, ctype
from ..cuda.launches import over_rows

_SOURCE = Source(Path(__file__).with_name("softmax_cross_entropy.cu"))


def loss_and_gradient(
    logits: Array, targets: Array, *, scale: float = 1.0, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Return (losses, dlogits) for labels (n,) or distributions (n, k)."""
    n, k = logits.shape
    labels = targets.ndim == 1
    check_shape(targets, (n,) if labels else (n, k), "targets")
    losses = ensure(out and out[0], (n,), logits.dtype, like=logits)
    dlogits = ensure(out and out[1], (n, k), logits.dtype, like=logits)
    over_rows(
        _SOURCE, "labels" if labels else "distributions",
        (contiguous(logits), contiguous(targets), logits.dtype.type(scale), losses, dlogits), n, k,
        TARGET=ctype(targets.dtype),
    )
    return losses, dlogits
