"""Run a program that may do anything: limited in time, memory and output, without keyboard, gone when it is over.

This keeps mistakes and simple mischief from doing harm.  It is no jail: the program runs under your name.  Whoever
grades the files of strangers should do it in a container or under another account.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Thread
from typing import Literal

MEMORY_BYTES = 2 << 30
PRINTED_BYTES = 1 << 20
PATIENCE = 3
LIMITS = Path(__file__).with_name("limits.py")


@dataclass(frozen=True)
class Ended:
    """How a program ended: its return code, what it printed, and why it was stopped, if it was."""

    returncode: int
    printed: str
    stopped: Literal["time", "output"] | None

    @property
    def signal(self) -> str | None:
        """The name of the signal that killed it, if one did."""
        if self.returncode >= 0:
            return None
        with suppress(ValueError):
            return signal.Signals(-self.returncode).name
        return f"signal {-self.returncode}"


def run(
    command: Sequence[str | Path], folder: Path, seconds: float, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run `command` in `folder` for at most `seconds`, and end it with everything it started.

    The seconds are of processor time, so that a busy computer is not unfair; by the clock it may take `PATIENCE` times
    as long.  (Where there are no limits, as on Windows, there is only the clock.)

    It sees little of the environment: a path, a home and a place for temporary files inside of `folder`, and what
    `environment` adds.
    """
    words = [str(word) for word in command]
    if os.name == "posix":
        words = [sys.executable, "-I", "-S", str(LIMITS), str(MEMORY_BYTES), str(ceil(seconds)), *words]
    process = subprocess.Popen(
        words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=_environment(folder) | dict(environment or {}), start_new_session=True,
    )
    printed = bytearray()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as pipe:
            while (some := os.read(pipe.fileno(), 1 << 16)) and len(printed) <= PRINTED_BYTES:
                printed.extend(some)
            if len(printed) > PRINTED_BYTES:
                _kill(process)  # before the pipe breaks, which it would notice

    reader = Thread(target=read, daemon=True)
    reader.start()
    late = False
    try:
        process.wait(PATIENCE * seconds)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        _kill(process)
        process.wait()
        reader.join(1)  # it ends with the last process that holds the other end of the pipe
    much = len(printed) > PRINTED_BYTES
    text = bytes(printed[:PRINTED_BYTES]).decode(errors="replace")
    return Ended(process.returncode, text, "output" if much else "time" if late else None)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and, where there are process groups, all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _environment(folder: Path) -> dict[str, str]:
    """What a program needs to start, and nothing that is private."""
    kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
    private = {"HOME": str(folder), "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    return {name: os.environ[name] for name in kept if name in os.environ} | private
