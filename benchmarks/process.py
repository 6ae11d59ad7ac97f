"""A contestant's process, seen from the benchmark: started with its threads and libraries, asked, and ended.

    with Worker(threads=2) as worker:
        worker.load("tinyconv.benchmarks.engines.tinyconv")
        worker.create("Training", network="mnist_convnet")
        worker.call("turn", seconds=0.5)

The other end is `worker`; they exchange lines of JSON.  What goes wrong there is raised here as ContestantError, whose
text is the reason that the tables give.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from ctypes.util import find_library
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Self

from tinyconv.errors import ArgumentError, TinyconvError

from .machine import CHECKOUT

PATIENCE = 1800.0  # seconds until a contestant that does not answer is ended
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class ContestantError(TinyconvError):
    """A contestant cannot run, or stopped running; the text says why."""

    exit_code = 1


class Worker:
    """One process that runs one contestant.

    Arguments:
        threads: how many it may use; where the system allows, it is also held to that many processors.
        python: another interpreter, that has tinyconv and what the contestant needs; None for this one.
        preload: a shared library to load before all others (LD_PRELOAD); its process checks that it was.
        environment: further variables.
    """

    def __init__(
        self, *, threads: int, python: str | None = None, preload: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._computes = False
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # `close` closes it
        arguments = [python or sys.executable, "-P", "-m", "tinyconv.benchmarks.worker", str(threads)]
        try:
            self._process = subprocess.Popen(
                [*arguments, Path(preload).name] if preload else arguments, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8",
                env=_environment(threads, preload, environment or {}),
            )
        except OSError as problem:
            self._errors.close()
            raise ContestantError(f"{Path(arguments[0]).name} cannot be started: {problem.strerror}") from problem

    def load(self, engine: str) -> dict[str, str]:
        """Import the module `engine` and return the versions of what it runs on; raises ContestantError."""
        return dict(self._ask({"load": engine}))

    def create(self, name: str, **arguments: Any) -> None:
        """Make an object of the engine's class `name`, from JSON, for `call`; raises ContestantError."""
        self._ask({"create": name, "arguments": arguments})

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of that object and return its result; raises ContestantError."""
        return self._ask({"call": method, "arguments": arguments})

    def peak_bytes(self) -> int:
        """The most memory that the process ever held (its peak resident set)."""
        return int(self._ask({"peak": True}))

    def close(self) -> None:
        """End the process, at once if it is computing."""
        if self._computes:
            self._process.kill()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # what an ended process did not read
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        guard = Timer(PATIENCE, self._process.kill)
        guard.daemon = True  # an interruption right here must not leave the program waiting for it
        self._computes = True
        try:
            guard.start()
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            guard.cancel()
        self._computes = False
        if not line:
            raise ContestantError(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantError(answer["error"])
        return answer["value"]

    def _last_words(self) -> str:
        """Why the process is no more, from what it wrote last."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        if code < 0:
            return f"it was ended by signal {-code}" + (" (out of time or memory?)" if code == -9 else "")
        return lines[-1] if lines else f"it ended with exit code {code}"


def find_tcmalloc(given: Path | None = None) -> str:
    """The library for LD_PRELOAD: the one given, or the system's; raises ContestantError when there is none.

    Raises ArgumentError when the one given is not there.
    """
    if given is not None:
        if not given.is_file():
            raise ArgumentError(f"There is no file {given}.")
        return str(given.resolve())
    if not sys.platform.startswith("linux"):
        raise ContestantError("tcmalloc is preloaded on Linux only")
    found = find_library("tcmalloc_minimal")
    if found is None:
        raise ContestantError("libtcmalloc_minimal was not found (Debian: apt install libtcmalloc-minimal4)")
    return found


def _environment(threads: int, preload: str | None, more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables, with the contestant's own."""
    result = with_checkout(dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict(more))
    if preload is not None:
        result["LD_PRELOAD"] = preload
    return result


def with_checkout(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with which another Python finds this tinyconv, be it a checkout or installed."""
    result = dict(environment)
    if (CHECKOUT / "setup.cfg").is_file():
        result["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), result.get("PYTHONPATH")]))
    return result
