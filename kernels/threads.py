"""Threads: how many compute, who has to wait for whom, and how.

    set_threads(2)      Numba's and BLAS's, for all Python threads
    maximum()           the most there can be; scratch memory has a row for each

Parallel loops run on the threads of a *layer* below Numba: tbb, omp (OpenMP) or workqueue, the first one that the
machine has unless NUMBA_THREADING_LAYER says which.  Every call of a compiled kernel goes through `guarded`, for these
reasons, and to be put on a tape where one is being written (see `tape`).

*Python threads.*  Two of them may train two models at the same time.  tbb and omp serve both at once, and the threads
of one model compute while those of the other wait.  workqueue would abort the process, so there the calls take turns.
Numba keeps a number of threads for each Python thread, all of them at first; here it is one number.

*Forks.*  A forked process inherits the memory of GNU OpenMP's threads but not the threads, and would wait for them for
ever.  It gets an error that says what to do.

*Waiting.*  By default, GNU OpenMP's threads spin for milliseconds before they sleep.  Where other programs want the
cores as well, a spinning thread uses up its share of time and is off its core when the next loop begins: all wait for
it.  A BLAS call between two loops has to share the cores with it, too.  So they are told to spin about as long as the
gaps between the loops of a training step last, unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is set.
"""

import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from typing import Any

import numba
from numba.np.ufunc.parallel import NUM_THREADS  # what is launched, whatever becomes of numba.config after its import

from . import tape

SPINS = 2000  # `pause` instructions: 40 to 100 µs on most processors


class _Shared:
    """What all Python threads share."""

    def __init__(self) -> None:
        self.count: int | None = None  # what `set_threads` was given
        self.turn = threading.RLock()  # re-entrant, since the handler of a signal may call a kernel
        self.takes_turns = False
        self.lost = False  # whether this process was forked from the one that has the threads
        self.state = 1  # another number means that every Python thread has to be admitted again


class _Own(threading.local):
    """What each Python thread has for itself."""

    state = 0  # the `_Shared.state` that it was admitted in


_shared, _own = _Shared(), _Own()


def maximum() -> int:
    """How many threads there can be at most: NUMBA_NUM_THREADS, by default the cores that this process may use.

    `numba.get_thread_id()` is below it on every layer, in every Python thread.
    """
    return int(NUM_THREADS)


def set_threads(count: int) -> None:
    """Let parallel loops, in every Python thread, and BLAS use `count` threads.

    Raises ValueError unless `count` lies in 1 … `maximum()`.  BLAS libraries that are loaded later are not told.
    """
    import threadpoolctl

    if not 1 <= count <= maximum():
        raise ValueError(f"There can be 1 to {maximum()} threads here, but got {count}.")
    threadpoolctl.threadpool_limits(count, user_api="blas")
    _shared.count = count
    _shared.state += 1
    tape.outdate()  # some kernels are given the number of threads, or pieces for so many


def current() -> int:
    """How many threads parallel loops use when this Python thread calls them."""
    if _own.state != _shared.state:
        _admit()
    return int(numba.get_num_threads())


def layer() -> str:
    """The threading layer: tbb, omp or workqueue.  Loads it, if nobody has, so that its threads wait as said above."""
    if _loaded_layer() is None:
        with _short_spin():
            numba.get_num_threads()
    return str(numba.threading_layer())


def wait_setting() -> str:
    """The environment variable that GNU OpenMP's threads wait by, as NAME=value: the user's, else ours; or nothing.

    Ours is for x86: elsewhere a spin takes next to no time, and the default number of them does no harm.
    """
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        if name in os.environ:
            return f"{name}={os.environ[name]}"
    return f"GOMP_SPINCOUNT={SPINS}" if sys.platform == "linux" and platform.machine() == "x86_64" else ""


def guarded(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled`, a Numba function, as one that any Python thread may call at any time, and that a tape can keep."""

    @wraps(compiled, updated=())
    def call(*arguments: Any) -> Any:
        if tape.own.calls is not None:
            tape.own.calls.append(partial(call, *arguments))
        if _own.state != _shared.state:
            _admit()
        if not _shared.takes_turns:
            return compiled(*arguments)
        with _shared.turn:
            return compiled(*arguments)

    return call


def _admit() -> None:
    """Get the calling Python thread ready for parallel loops."""
    if _shared.lost:
        raise RuntimeError(
            "This process was forked from one that had computed with OpenMP threads, which do not survive a fork. "
            'Start processes with multiprocessing.get_context("spawn"), or set NUMBA_THREADING_LAYER=workqueue.'
        )
    state = _shared.state
    _shared.takes_turns = layer() == "workqueue"
    if _shared.count is not None:
        numba.set_num_threads(_shared.count)
    _own.state = state


def _loaded_layer() -> str | None:
    """The threading layer, or None if no parallel loop was compiled or run so far."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None


@contextmanager
def _short_spin() -> Iterator[None]:
    """`wait_setting` as GNU OpenMP shall find it when it is loaded; libraries and processes after it find no trace."""
    name, _, value = wait_setting().partition("=")
    if not name or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


def _after_fork() -> None:
    """In the child, where only the Python thread that forked is left: find out whether parallel loops can work."""
    if _loaded_layer() == "omp":  # Numba takes OpenMP libraries other than GNU's for safe
        _shared.lost = import_module("numba.np.ufunc.omppool").openmp_vendor == "GNU"
    _shared.turn = threading.RLock()  # the old one may have been held by a thread that is gone
    _shared.state += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
