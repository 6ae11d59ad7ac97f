"""Compile the CUDA kernel of lab 12 for the processor and run it, as `kernels.cuda.host` does, but in its own process.

There its arrays can be watched from all sides (`guarded_arrays.cuh`), and it can be ended.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copy, which
from typing import Any

import numpy as np

from tinyconv.kernels.cuda.host import HEADER, first_error
from tinyconv.labs.lab import Array
from tinyconv.labs.process import Ended, run

COMPLAINT = 3  # the exit code with which the program complains, in the last line
HOST_FILES = [HEADER, *(Path(__file__).with_name(name) for name in ("guarded_arrays.cuh", "cuda_matmul_host.cu"))]
COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
NOT_NEEDED = re.compile(r"#\s*include\w*|#\s*import|\bextern\b|\b_*asm_*\b|\b__builtin_\w+|\b_{0,2}attribute_{0,2}\b")
SECONDS_TO_COMPILE = 60


def fault(source: str) -> str | None:
    """A sentence about what a kernel must not have, or lacks; None when it can be compiled."""
    code = COMMENTS.sub("", source.replace("\\\n", ""))
    found = NOT_NEEDED.search(code)
    if found:
        return f"the file has `{found.group()}`, which this lab does not need."
    for word, what in (("__shared__", "shared memory (`__shared__`)"), ("__syncthreads", "`__syncthreads()`")):
        if word not in code:
            return f"the kernel has no {what} yet: the tiles of a and b go there, copied by all threads together."
    return None


def build(source: str, file_name: str, folder: Path) -> str | None:
    """Compile the kernel in `folder`; return a sentence when that fails, None otherwise."""
    compiler = which("g++")
    if compiler is None:
        return "this lab needs the C++ compiler g++, which is not installed here (Debian and Ubuntu: apt install g++)."
    (folder / file_name).write_text(source, encoding="utf-8")
    for file in HOST_FILES:
        copy(file, folder)
    options = ["-std=c++17", "-O0", "-w", "-D_XOPEN_SOURCE=700", "-D_DEFAULT_SOURCE", f'-DLAB_FILE="{file_name}"']
    command = [compiler, *options, "-fmax-errors=1", "-x", "c++", HOST_FILES[-1].name, "-o", "lab"]
    ended = run(command, folder, SECONDS_TO_COMPILE)
    if ended.stopped:
        return "g++ does not come to an end with this file."
    if ended.returncode:
        return f"the file does not compile: {first_error(ended.printed)}"
    return None


def launch(arguments: Mapping[str, Any], folder: Path, seconds: float) -> tuple[Ended, Array | None]:
    """Run the compiled kernel on a (rows, inner) and b (inner, columns); return how it ended, and c."""
    a, b = arguments["a"], arguments["b"]
    (rows, inner), columns = a.shape, b.shape[1]
    sizes = np.array([rows, inner, columns], np.int32)
    (folder / "input.bin").write_bytes(sizes.tobytes() + a.tobytes() + b.tobytes())
    output = folder / "output.bin"
    output.unlink(missing_ok=True)
    ended = run([folder / "lab"], folder, seconds)
    if ended.returncode or not output.is_file() or output.stat().st_size != rows * columns * 4:
        return ended, None
    return ended, np.fromfile(output, np.float32).reshape(rows, columns)
