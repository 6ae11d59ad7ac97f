"""What a step of training does on a GPU besides the operations: see `step.cu`, `gather.cu`.

A captured step cannot be told anything when it is repeated.  What changes from step to step is read from the `Clock`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .arrays import contiguous
from .launcher import CTYPES, Source, blocks, ctype

Array = Any

THREADS = 256
DTYPES = frozenset(CTYPES)  # of data that `gather` takes

_SOURCE = Source(Path(__file__).with_name("step.cu"))
_GATHER = Source(Path(__file__).with_name("gather.cu"))


class Clock(NamedTuple):
    """Where the training is, in device memory; `begin` reads and `finish` advances it."""

    clock: Array  # int64 (3,): examples and steps of this epoch, steps in all
    order: Array  # int32: the order in which this epoch visits the examples
    table: Array  # float64 (steps, k): the optimizer's numbers for each step of this epoch
    numbers: Array  # float64 (k,): its numbers for this step
    step: Array  # uint32 (1,): the number of this step, for random numbers
    totals: Array  # float64 (2,): losses added up, right predictions


def begin(now: Clock) -> None:
    """Look up the numbers of this step."""
    columns = np.int32(now.table.shape[1])
    _SOURCE.launch("begin", 1, 1, now.clock, now.table, columns, now.numbers, now.step, defines={"T": "float"})


def gather(x: Array, now: Clock, out: Array) -> None:
    """out (n, …) = this step's rows of x, converted to the dtype of `out`."""
    row = out.size // len(out)
    vector = 4 if row % 4 == 0 else 1
    _GATHER.launch(
        "gather", blocks(out.size, THREADS * vector), THREADS, x, now.order, now.clock, out, np.int64(len(out)),
        np.int64(row), defines={"T": ctype(out.dtype), "SOURCE": ctype(x.dtype), "VECTOR": vector},
    )


def finish(losses: Array, logits: Array, classes_of: Array | None, now: Clock) -> None:
    """Add this step's losses (n,) and right predictions, from logits (n, classes), to the totals; move the clock."""
    n, classes = logits.shape
    _SOURCE.launch(
        "finish", 1, THREADS, losses, logits, classes_of, now.order, np.int64(n), np.int32(classes), now.totals,
        now.clock, defines={"T": ctype(logits.dtype)},
    )


def affine(x: Array, scale: float, offset: float, out: Array) -> Array:
    """out = x · scale + offset; `out` may be x."""
    number = x.dtype.type
    _SOURCE.launch(
        "affine", blocks(max(x.size, 1), THREADS), THREADS, contiguous(x), out, np.int64(x.size), number(scale),
        number(offset), defines={"T": ctype(x.dtype)},
    )
    return out


def follow(average: Array, value: Array, momentum: float) -> None:
    """average ← momentum · average + (1 - momentum) · value, in place."""
    number = average.dtype.type
    _SOURCE.launch(
        "follow", blocks(average.size, THREADS), THREADS, average, contiguous(value), np.int64(average.size),
        number(momentum), number(1 - momentum), defines={"T": ctype(average.dtype)},
    )
