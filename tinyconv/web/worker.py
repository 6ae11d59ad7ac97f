"""One thread that does all arithmetic of the lab, one job after the other.

Numba's threads must not be called from two Python threads at a time, and a network in the middle of a step must not be
looked at.  A long job, a training, calls `serve` between its steps to let the waiting jobs in.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Job = tuple[Callable[..., Any], tuple[Any, ...], "Future[Any]"]


class Worker:
    """Runs what `submit` is given, in order, in a thread of its own; `close` ends it after the jobs so far."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tinyconv lab", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Run `function(*arguments)` when its turn comes; the Future has its result or its exception."""
        future: Future[Any] = Future()
        self._jobs.put((function, arguments, future))
        return future

    def serve(self, wait: float | None = None) -> None:
        """From within a job: run the jobs that are waiting, after up to `wait` seconds for the first one."""
        try:
            job = self._jobs.get(block=wait is not None, timeout=wait)
            while True:
                self._do(job)
                job = self._jobs.get_nowait()
        except queue.Empty:
            return

    def close(self, timeout: float) -> bool:
        """Finish the jobs so far and end; returns whether that took no more than `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closed:
            self._do(self._jobs.get())

    def _do(self, job: Job | None) -> None:
        if job is None:
            self._closed = True
            return
        function, arguments, future = job
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function(*arguments))
        except BaseException as problem:  # the asker gets it; this thread goes on
            future.set_exception(problem)
