"""A contestant's process: `python -m tinyconv.benchmarks.worker THREADS [LIBRARY]`; see `process` for the other end.

Reads requests from standard input, one line of JSON each, and answers on what was standard output; whatever frameworks
print goes to standard error.  LIBRARY is what LD_PRELOAD should have brought.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve until standard input is closed."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    hold_to_processors(int(sys.argv[1]))
    library = sys.argv[2] if len(sys.argv) > 2 else None
    engine: Any = None
    contestant: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            value: Any = None
            if "load" in request:
                if library is not None:
                    require_library(library)
                engine = importlib.import_module(request["load"])
                value = engine.versions()
            elif "create" in request:
                contestant = getattr(engine, request["create"])(**request["arguments"])
            elif "call" in request:
                value = getattr(contestant, request["call"])(**request["arguments"])
            else:
                value = peak_bytes()
            answer = {"value": value}
        except Exception as problem:  # whatever a framework raises is the reason why it cannot take part
            traceback.print_exc()
            answer = {"error": reason(problem)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def reason(problem: Exception) -> str:
    """An exception as one line for a table."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


def hold_to_processors(count: int) -> None:
    """Let this process, and all threads it starts, run on `count` processors only, where the system can do that.

    Thread pools that nobody can configure follow it.  Processors that share a core come last.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        groups: dict[str, list[int]] = {}
        for processor in allowed:
            groups.setdefault(core(processor), []).append(processor)
        rank = {processor: place for group in groups.values() for place, processor in enumerate(group)}
        os.sched_setaffinity(0, sorted(allowed, key=lambda processor: (rank[processor], processor))[:count])


def core(processor: int) -> str:
    """The core that a processor is a hardware thread of; each its own where the system does not tell."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
    return siblings.read_text() if siblings.is_file() else str(processor)


def require_library(name: str) -> None:
    """Raise RuntimeError unless a library of that name is loaded: the loader only warns when it cannot preload one."""
    stem = name.partition(".so")[0]
    if stem not in Path("/proc/self/maps").read_text():
        raise RuntimeError(f"{name} was not preloaded")


def peak_bytes() -> int:
    """The peak resident set of this process.

    getrusage would tell that of the process which started this one, where that was larger.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
