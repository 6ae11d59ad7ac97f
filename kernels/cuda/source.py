"""The text of a .cu file: its includes, its kernels, and what stands for its macros."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent  # of the .cuh files

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[ \t]*$')
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = r"(?:__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)\s*)?"
_KERNEL = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(')

Defines = tuple[tuple[str, str], ...]


@cache
def read(path: Path) -> str:
    """The text of a .cu file with its `#include "…"` lines replaced by those files, each at its first mention.

    An included file lies beside the one that names it, or in kernels/cuda.  `#line` keeps compilers' messages right.
    Raises ValueError when a file is missing.
    """
    return _expanded(path, set())


def variant(path: Path, macros: Defines) -> str:
    """The text of a .cu file below its macros, which as options would change the compiler's own headers as well."""
    return "".join(f"#define {name} {value}\n" for name, value in macros) + read(path)


def kernels(text: str) -> list[str]:
    """The names of the kernels, each of which is written out as `extern "C" __global__ void name(…)`."""
    return _KERNEL.findall(_COMMENT.sub(" ", text))


def defines(values: Mapping[str, object] | None) -> Defines:
    """Macros as pairs of text, in an order that does not depend on who wrote them down; True and False are 1 and 0."""
    return tuple(sorted((name, str(int(v) if isinstance(v, bool) else v)) for name, v in (values or {}).items()))


def _expanded(path: Path, seen: set[Path]) -> str:
    seen.add(path)
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = _INCLUDE.match(line)
        if match is None:
            if line.strip() != "#pragma once":
                lines.append(line)
            else:
                lines.append("")
            continue
        places = [path.parent / match[1], FOLDER / match[1]]
        found = next((place.resolve() for place in places if place.is_file()), None)
        if found is None:
            raise ValueError(f"{path.name} includes {match[1]!r}, which is neither beside it nor in {FOLDER.name}/.")
        if found not in seen:
            lines.append(_expanded(found, seen))
        lines.append(f'#line {number + 1} "{path.name}"')
    return "\n".join(lines) + "\n"
