"""The machine and the moment of a measurement: what a reader needs to judge the numbers, and to repeat them."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from tinyconv import doctor
from tinyconv.doctor import cpu_name, gpus
from tinyconv.version import __version__

PACKAGES = ("numpy", "numba", "llvmlite", "torch")  # those of other interpreters are told by the contestants
CHECKOUT = Path(doctor.__file__).resolve().parent.parent


def describe() -> dict[str, Any]:
    """Processor, memory, system, versions, date, command and revision, as JSON types."""
    from tinyconv.kernels.microkernel import VECTOR_BYTES  # loads LLVM, which contestants may not have

    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "threads_usable": usable_threads(),
        "vector_bits": 8 * VECTOR_BYTES,
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "last_level_cache_mib": round(last_level_cache() / 2**20, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {"tinyconv": __version__, **versions(PACKAGES)},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(),
        "revision": revision(),
        "load": load(),
    }


def gpu() -> str | None:
    """The GPU's name, its memory and the driver's version, or None where there is none."""
    found = gpus()
    return found[0] if found else None


def usable_threads() -> int:
    """How many threads this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Physical cores of the machine: two hardware threads of one share its arithmetic.  0 where nobody can tell."""
    siblings = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    return len({path.read_text() for path in siblings})


def memory_bytes() -> int:
    """Main memory; 0 where nobody can tell."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def last_level_cache() -> int:
    """Bytes of the first core's largest cache; 0 where nobody can tell."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]] for size in sizes), default=0)


def load() -> float | None:
    """Average number of running processes in the last minute: near 0 on a quiet machine."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """What was typed, without the folders of this machine."""
    return f"tinyconv {without_folders(sys.argv[1:])}".strip()


def without_folders(arguments: list[str]) -> str:
    """Arguments for a shell, absolute paths shortened to their last part.

    >>> without_folders(["bench", "predict", "--tcmalloc", "/usr/lib/x.so", "--output=/srv/a"])
    'bench predict --tcmalloc x.so --output=a'
    """
    short = []
    for argument in arguments:
        option, equals, value = argument.rpartition("=")
        short.append(option + equals + (PurePath(value).name if PurePath(value).is_absolute() else value))
    return shlex.join(short)


def revision() -> str | None:
    """The checkout's commit, with "+" when files were changed since; None for an installed tinyconv."""
    if not (CHECKOUT / "setup.cfg").is_file():
        return None
    described = _git("rev-parse", "HEAD")
    return described and described + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
