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
def exclusive(folder: Path) -> Iterator[None]:
    """Create `folder` if need be, and hold its lock within the `with` block; wait for it first."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "ab") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:
                    time.sleep(0.1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it
