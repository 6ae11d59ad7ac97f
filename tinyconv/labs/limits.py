"""Become another program, with limits:  python -I -S limits.py MEMORY SECONDS PROGRAM ARGUMENT …

MEMORY is in bytes, SECONDS are of processor time (then the program gets the signal SIGXCPU).  Files are limited as
well, and a crash leaves no core file.  This runs between a fork and the program, in a process of its own, where nothing
can be locked.
"""

import contextlib
import os
import resource
import sys

FILE_BYTES = 64 << 20


def main() -> None:
    """Set the limits, which the program then cannot raise, and start it in place of this one."""
    memory, seconds, *command = sys.argv[1:]
    wanted = {
        resource.RLIMIT_AS: (int(memory), int(memory)),
        resource.RLIMIT_CPU: (int(seconds), int(seconds) + 1),  # at the second one it is killed without a word
        resource.RLIMIT_FSIZE: (FILE_BYTES, FILE_BYTES),
        resource.RLIMIT_CORE: (0, 0),
    }
    for limit, values in wanted.items():
        _, most = resource.getrlimit(limit)
        allowed = [value if most == resource.RLIM_INFINITY else min(value, most) for value in values]
        with contextlib.suppress(OSError, ValueError):  # macOS knows RLIMIT_AS and refuses it
            resource.setrlimit(limit, (allowed[0], allowed[1]))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
