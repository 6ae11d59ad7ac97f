"""Who wants to know that kernels are being compiled, which takes a while.

    with compiling.listening(lambda: print("compiling …")):
        model.fit(x, y)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[], None]] = []


@contextmanager
def listening(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` when the first kernel is about to be compiled: only then, and not if all are there already."""
    _listeners.append(listener)
    try:
        yield
    finally:
        if listener in _listeners:
            _listeners.remove(listener)


def begins() -> None:
    """Tell the listeners, once."""
    while _listeners:
        _listeners.pop(0)()
