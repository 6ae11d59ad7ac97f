"""Ctrl-C that waits for a whole step: the weights are never left half updated."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class WholeStep:
    """Inside `with whole_step:` the first Ctrl-C takes effect at the end of the block, a second one at once.

    One object serves all steps.  Where another handler of SIGINT is installed, or outside of the main thread, where
    Python allows none, it does nothing.
    """

    def __init__(self) -> None:
        self._previous: Any = None
        self._requested = False

    def __enter__(self) -> None:
        self._requested = False
        self._previous = None
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _PYTHONS:
            self._previous = signal.signal(signal.SIGINT, self._wait)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self._requested and kind is None:
            raise KeyboardInterrupt

    def _wait(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True


_PYTHONS = signal.default_int_handler
