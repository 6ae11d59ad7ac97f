"""Graphs: a sequence of launches that is written down once and then repeated in one call.

On a GPU a small network is bound by the time that launching takes, not by arithmetic: a step of training is some thirty
kernels of a few microseconds each.  A CUDA graph launches all of them at once.  It repeats the same kernels on the same
memory with the same numbers, so whatever changes from step to step must lie in device memory.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from .launcher import recording
from .problems import CudaError


def capture(run: Callable[[], None], like: Any, keep: Any = None) -> Callable[[], None]:
    """Call `run`, writing down what it launches instead of running it; return a function that runs it all again.

    `run` must have run before, so that every kernel is compiled and every buffer is there: while it is captured, it
    must not allocate arrays nor wait for the device.  `like` is an array of the device that is meant; `keep`, memory
    that the launches work on, lives as long as the graph.
    """
    return _on_host(run, keep) if isinstance(like, np.ndarray) else _on_gpu(run, keep)


def _refuse(nbytes: int) -> Any:
    """CuPy's memory pool would give memory while a graph is captured, and give it to others afterwards."""
    raise CudaError(f"{nbytes} bytes were asked for while a graph was captured, which repeats launches only.")


def _on_host(run: Callable[[], None], keep: Any) -> Callable[[], None]:
    with recording() as launches:
        run()

    def repeat(kept: Any = keep) -> None:
        for launch in launches:
            launch()

    return repeat


def _on_gpu(run: Callable[[], None], keep: Any) -> Callable[[], None]:
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, cupy.cuda.using_allocator(_refuse):
        stream.begin_capture()
        try:
            run()
        except BaseException:
            with suppress(Exception):  # a capture that broke as well, which says nothing about the cause
                stream.end_capture()
            raise
        graph = stream.end_capture()

    def repeat(kept: Any = keep) -> None:
        graph.launch()  # on the current stream, behind everything that is queued there

    return repeat
