"""Tapes: the kernel calls of a step, written down and then repeated without the Python between them.

    tape = Tape()
    tape(run)           calls `run`; once it has called the same kernels twice, only those kernels

Before each kernel Python finds buffers, looks at shapes and puts arguments together: some 10 µs, and several times that
where the kernels have driven it out of the caches.  Meanwhile all threads but one wait.  For batches of one size it all
comes to the same, so the calls can be kept.  (On a GPU a CUDA graph does this, see `tinyconv.kernels.cuda.graphs`.)

What is on a tape always works on the same memory with the same numbers.  So `run` must leave all arithmetic to kernels
(what NumPy does in between is not on the tape), and read what changes from step to step from arrays that stay.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

Result = TypeVar("Result")
Call = partial[Any]

MOST_RUNS = 5  # without two equal ones in a row: then there is something new each time


class Own(threading.local):
    """What each Python thread has for itself."""

    calls: list[Call] | None = None  # the kernels that it has called, while that is written down


own = Own()
_generation = 0


def outdate() -> None:
    """Let all tapes be written anew: calls may depend on something that has changed."""
    global _generation
    _generation += 1


class Tape(Generic[Result]):
    """The kernels of one function, which returns the same arrays each time.

    Where a number or an array is new each time, there is nothing to repeat, and the function is called as ever.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._generation = _generation
        self._runs = 0
        self._calls: list[Call] = []  # of the last run
        self._result: Any = None
        self.repeats = False  # whether that is all that has to be done

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Return what `run` does, with the arrays as after a call of it."""
        if self._generation != _generation:
            self._start()
        if not self.repeats:
            return self._run(run)
        for call in self._calls:
            call()
        result: Result = self._result
        return result

    def _run(self, run: Callable[[], Result]) -> Result:
        self._runs += 1
        if self._runs > MOST_RUNS:
            self._calls, self._result = [], None
            return run()
        last = self._calls, self._result  # as long as they are kept, new arrays lie elsewhere
        self._calls, self._result = result = _written_down(run)
        self.repeats = bool(self._calls) and _same(result, last)
        return result[1]


def _written_down(run: Callable[[], Result]) -> tuple[list[Call], Result]:
    """The kernels that `run` calls, and what it returns."""
    calls: list[Call] = []
    before, own.calls = own.calls, calls
    try:
        return calls, run()
    finally:
        own.calls = before


def _same(one: Any, other: Any) -> bool:
    """Whether two calls, or arguments, or results, are the same: arrays where they are the same memory."""
    if isinstance(one, partial):
        return isinstance(other, partial) and one.func is other.func and _same(one.args, other.args)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.__array_interface__ == other.__array_interface__
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
