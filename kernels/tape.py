"""Tapes: the kernel calls of a step, written down once and then repeated without the Python between them.

    tape = Tape(run)
    tape()              calls `run`; from the third time on, only the kernels that it called

Before each kernel Python finds buffers, looks at shapes and puts arguments together: some 10 µs, and several times that
where the kernels have driven it out of the caches.  Meanwhile all threads but one wait.  For batches of one size it all
comes to the same, so the calls can be kept.  (On a GPU a CUDA graph does this, see `tinyconv.kernels.cuda.graphs`.)

What is on a tape always works on the same memory with the same numbers.  So `run` must leave all arithmetic to kernels
(what NumPy does in between is not on the tape), and read what changes from step to step from arrays that stay.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

Result = TypeVar("Result")
Call = partial[Any]


class _Own(threading.local):
    """What each Python thread has for itself."""

    calls: list[Call] | None = None  # the tape that is being written


_own = _Own()


@contextmanager
def recording() -> Iterator[list[Call]]:
    """Let this Python thread's calls of kernels be written down instead of made."""
    calls: list[Call] = []
    before, _own.calls = _own.calls, calls
    try:
        yield calls
    finally:
        _own.calls = before


def takes(kernel: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a tape is being written; then this call is on it now, and must not be made."""
    if _own.calls is None:
        return False
    _own.calls.append(partial(kernel, *arguments))
    return True


class Tape(Generic[Result]):
    """Calls `run`, a function without arguments that gives the same arrays each time, or repeats its kernels.

    The first call runs it, which compiles the kernels and makes the buffers; the second one writes it down, twice:
    where the calls differ, a number or an array was new, and `run` is run each time.
    """

    def __init__(self, run: Callable[[], Result]) -> None:
        self._run: Callable[[], Result] = run
        self._called = False
        self._calls: list[Call] | None = None

    @property
    def repeats(self) -> bool:
        """Whether there is something to repeat."""
        return bool(self._calls)

    def __call__(self) -> Result:
        """Return what `run` does, with the arrays as after another call of it."""
        if not self._called:
            self._called = True
            return self._run()
        if self._calls is None:
            self._write()
        if not self._calls:
            return self._run()
        for call in self._calls:
            call()
        return self._result

    def _write(self) -> None:
        with recording() as calls:
            self._result = self._run()
        with recording() as again:  # while `calls` keeps the arrays of the first time, new ones lie elsewhere
            self._run()
        self._calls = calls if _same(calls, again) else []


def _same(one: Any, other: Any) -> bool:
    """Whether two calls, or two arguments, are the same: arrays where they are the same memory."""
    if isinstance(one, partial):
        return isinstance(other, partial) and one.func is other.func and _same(one.args, other.args)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.__array_interface__ == other.__array_interface__
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
