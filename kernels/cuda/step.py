"""What a step of training does on a GPU besides the operations: see `begin.cu`, `step.cu`.

A captured step cannot be told anything when it is repeated.  What changes from step to step is read from the `Clock`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .arrays import contiguous
from .gemm import width
from .launcher import CTYPES, Source, blocks, ctype
from .launches import MOST_BLOCKS_Y, THREADS, over_elements

Array = Any

ELEMENTS_PER_PART, MOST_PARTS = 4096, 128  # of a sum over a weight
DTYPES = frozenset(CTYPES)  # of data that `begin` takes

_BEGIN, _SOURCE = (Source(Path(__file__).with_name(name)) for name in ("begin.cu", "step.cu"))


class Clock(NamedTuple):
    """Where the training is, in device memory; `begin` reads and `finish` advances it."""

    clock: Array  # int64 (3,): examples and steps of this epoch, steps in all
    order: Array  # int32: the order in which this epoch visits the examples
    table: Array  # float64 (steps, k): the optimizer's numbers for each step of this epoch
    numbers: Array  # float64 (k,): its numbers for this step
    step: Array  # uint32 (1,): the number of this step, for random numbers
    totals: Array  # float64 (2,): losses added up, right predictions


def begin(now: Clock, x: Array, batch: Array, targets: Array, targets_batch: Array) -> None:
    """Gather this step's rows of x, converted to the dtype of `batch`, and of the targets; look up its numbers."""
    row, targets_row = (one.size // len(one) for one in (batch, targets_batch))
    vector = min(width(x, row), width(batch, row))
    _BEGIN.launch(
        "begin", (len(batch), min(blocks(row, THREADS * vector), MOST_BLOCKS_Y)), THREADS, x, batch, np.int64(row),
        targets, targets_batch, np.int64(targets_row), now.order, now.clock, now.table, np.int32(now.table.shape[1]),
        now.numbers, now.step, defines={
            "T": ctype(batch.dtype), "SOURCE": ctype(x.dtype), "TARGET": ctype(targets.dtype), "VECTOR": vector,
        },
    )  # fmt: skip


def parts_of(w: Array) -> int:
    """How many parts a sum over `w` is left in: a penalty, or squares."""
    return min(blocks(w.size, ELEMENTS_PER_PART), MOST_PARTS)


def penalise(w: Array, dw: Array, l1: float, l2: float, parts: Array) -> None:
    """Add the gradient of l1 Σ |w| + l2 Σ w² to dw in place, and leave the penalty in float64 `parts`, to be added."""
    _SOURCE.launch(
        "penalise", parts.size, THREADS, w, dw, np.int64(w.size), np.float64(l1), np.float64(l2), parts,
        defines={"T": ctype(w.dtype)},
    )


def shorten(x: Array, norm: float, parts: Array) -> None:
    """Scale x in place to an L2 norm of at most `norm`; NaN stays NaN.

    `parts` is scratch memory of at least `parts_of(x)` float64.
    """
    if not x.size:
        return
    count = parts_of(x)
    _SOURCE.launch("squares", count, THREADS, x, np.int64(x.size), parts, defines={"T": ctype(x.dtype)})
    over_elements(_SOURCE, "shorten", (x,), parts, np.int32(count), np.float64(norm), per_thread=1)


def clip(x: Array, limit: float) -> None:
    """x ← min(max(x, -limit), limit) in place; NaN stays NaN."""
    over_elements(_SOURCE, "clip", (x,), x.dtype.type(limit), per_thread=1)


def finish(
    losses: Array, logits: Array, classes_of: Array | None, now: Clock, penalties: Array | None = None
) -> None:
    """Add this step's losses (n,) and right predictions, from logits (n, classes), to the totals; move the clock.

    `penalties` are the parts of all penalties, if there are any.
    """
    n, classes = logits.shape
    parts = 0 if penalties is None else penalties.size
    _SOURCE.launch(
        "finish", 1, THREADS, losses, logits, classes_of, now.order, np.int64(n), np.int32(classes), penalties,
        np.int32(parts), now.totals, now.clock, defines={"T": ctype(logits.dtype)},
    )


def affine(x: Array, scale: float, offset: float, out: Array) -> Array:
    """out = x · scale + offset; `out` may be x."""
    number = x.dtype.type
    over_elements(_SOURCE, "affine", (contiguous(x), out), number(scale), number(offset), per_thread=1)
    return out


def follow(average: Array, value: Array, momentum: float) -> None:
    """average ← momentum · average + (1 - momentum) · value, in place."""
    number = average.dtype.type
    arrays = average, contiguous(value)
    over_elements(_SOURCE, "follow", arrays, number(momentum), number(1 - momentum), per_thread=1)
