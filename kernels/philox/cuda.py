"""Philox4x32-10 on a GPU: a thread for each block of four words."""

from pathlib import Path
from typing import Any

import numpy as np

from ..contract import PhiloxKey
from ..cuda.arrays import ensure
from ..cuda.launcher import Source, blocks
from ..cuda.launches import THREADS, changing

Array = np.ndarray[Any, Any]

_SOURCE = Source(Path(__file__).with_name("philox.cu"))


def bits(key: PhiloxKey, size: int, *, offset: int = 0, out: Array | None = None) -> Array:
    """Return the uint32 words offset … offset + size - 1 of `key`, shape (size,), in memory like that of `out`.

    The step of `key` may be a uint32 in device memory.  Without `out`, they are NumPy's, made by the processor.
    """
    out = ensure(out, (size,), np.uint32, like=np.empty(0) if out is None else out)
    threads = (offset + size + 3) // 4 - offset // 4
    numbers, step_type = words_of(key)
    if size:
        _SOURCE.launch(
            "bits", blocks(threads, THREADS), THREADS, out, np.int64(offset), np.int64(size), *numbers,
            defines={"STEP": step_type},
        )
    return out


def words_of(key: PhiloxKey) -> tuple[tuple[Any, ...], str]:
    """The key as arguments of a kernel, (seed, stream, step), and the C type of the step."""
    step, step_type = changing(key.step, np.uint32)
    return (np.uint64(key.seed), np.uint32(key.stream), step), step_type
