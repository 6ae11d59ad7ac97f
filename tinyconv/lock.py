"""A lock between processes: one works in a folder, others wait.

The operating system holds the lock, so it ends with the process that has it, however that ends; the empty lock file
stays.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Create `folder` if need be, and hold its lock within the `with` block; wait for it first.

    Unless `wait`, raises BlockingIOError at once when another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "ab") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError as problem:
                    if not wait:
                        raise BlockingIOError(f"{folder} is locked") from problem
                    time.sleep(0.1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield  # closing the file unlocks it
