"""CUDA kernels on the processor: the .cu file compiled as C++ with `host.cuh`, and called with NumPy arrays.

It is for tests, and for learning, where no GPU is: every kernel and every launch can be executed and compared with the
definition.  Two settings of TINYCONV_SANITIZE in the environment look for what a GPU may let pass:

- `address` compiles with AddressSanitizer, which stops the process at the first access outside of an array (its runtime
  must be loaded first: LD_PRELOAD);
- `thread` finds races, which become a CudaError (`races.cuh`).
"""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cached
from . import source as text_of
from .problems import CompileError, CudaError
from .source import Defines

HEADER = text_of.FOLDER / "host.cuh"
RACES = text_of.FOLDER / "races.cuh"  # which it includes
SECONDS_TO_COMPILE = 300

_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;")
_LOCK = threading.Lock()  # the threads of a block are variables of the library


def available() -> bool:
    """Whether there is a C++ compiler."""
    return _compiler() is not None


def compiler_version() -> str | None:
    """The first line that the C++ compiler says about itself, or None where there is none."""
    compiler = _compiler()
    return None if compiler is None else (_version(compiler).splitlines() or [compiler])[0]


def launch(
    path: Path, kernel: str, macros: Defines, grid: tuple[int, int, int], block: tuple[int, int, int],
    arguments: Sequence[Any], shared: int, *, backwards: bool = False,
) -> None:
    """See `launcher.Source.launch`; `backwards` lets blocks and threads take turns from the last to the first."""
    library = _library(path, macros)
    function = library.function(kernel)
    values = function.values(arguments)
    with _LOCK:
        complaint = library.launch(function.number, (ctypes.c_uint * 6)(*grid, *block), shared, values, backwards)
    if complaint:
        raise CudaError(f"{path.name}, kernel {kernel}: {complaint.decode()}")


class _Function:
    """One kernel: its number in the library, and how its parameters are given."""

    def __init__(self, where: str, number: int, signature: str) -> None:
        self.where, self.number = where, number
        self.parameters = [(one[0], None if one[1:] == "?" else np.dtype(one[1:])) for one in signature.split()]
        self._values = ctypes.c_uint64 * max(2 * len(self.parameters), 1)

    def values(self, arguments: Sequence[Any]) -> Any:
        """The arguments as 8 bytes each, then the sizes of arrays that the kernel may write, and 0 for others.

        Raises ValueError when an argument does not fit its parameter.
        """
        if len(arguments) != len(self.parameters):
            raise ValueError(f"{self.where} has {len(self.parameters)} parameters, but got {len(arguments)} arguments.")
        result = self._values()
        for place, (argument, (kind, dtype)) in enumerate(zip(arguments, self.parameters, strict=True)):
            if kind == "v":
                if not isinstance(argument, np.generic) or argument.dtype != dtype:
                    self._refuse(place, f"a number, np.{dtype}", argument)
                result[place] = int.from_bytes(argument.tobytes(), "little")
            elif argument is not None:
                if not isinstance(argument, np.ndarray) or (dtype is not None and argument.dtype != dtype):
                    self._refuse(place, f"an array of {dtype}", argument)
                if not argument.flags.c_contiguous:
                    self._refuse(place, "a C-contiguous array", argument)
                if kind == "w" and not argument.flags.writeable:
                    self._refuse(place, "an array that can be written", argument)
                result[place] = argument.ctypes.data
                result[len(arguments) + place] = argument.nbytes if kind == "w" else 0
        return result

    def _refuse(self, place: int, wanted: str, got: Any) -> None:
        if isinstance(got, np.ndarray):
            flaw = "strided " if not got.flags.c_contiguous else "" if got.flags.writeable else "read-only "
            what = f"{got.dtype} {flaw}array"
        elif isinstance(got, np.generic):
            what = repr(got)
        else:
            what = f"{type(got).__module__}.{type(got).__name__}".removeprefix("builtins.")
        raise ValueError(f"{self.where}: parameter {place + 1} is {wanted}, but got {what}.")


class _Library:
    """One compiled variant of a .cu file.

    All of them run on the same stacks: with stacks of its own, each would take 2048 of the 65530 pieces of memory that
    Linux lets a process have.
    """

    _stacks: int | None = None

    def __init__(self, path: Path, names: Sequence[str], library: ctypes.CDLL) -> None:
        self._path, self._names, self._library = path, list(names), library
        self._functions: dict[str, _Function] = {}
        library.tinyconv_stacks.restype = ctypes.c_void_p
        library.tinyconv_stacks.argtypes = [ctypes.c_void_p]
        _Library._stacks = library.tinyconv_stacks(_Library._stacks)
        if _Library._stacks is None:
            raise CudaError("there is too little memory for the stacks of 1024 threads.")
        self.launch = library.tinyconv_launch
        self.launch.restype = ctypes.c_char_p
        self.launch.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int]

    def function(self, name: str) -> _Function:
        """The kernel called `name`; raises ValueError when there is none."""
        found = self._functions.get(name)
        if found is None:
            if name not in self._names:
                raise ValueError(f"{self._path.name} has no kernel {name!r}; it has {', '.join(self._names)}.")
            number, signature = self._names.index(name), ctypes.create_string_buffer(2048)
            self._library.tinyconv_signature(number, signature)
            where = f"{self._path.name}, kernel {name}"
            found = self._functions[name] = _Function(where, number, signature.value.decode())
        return found


@cache
def _library(path: Path, macros: Defines) -> _Library:
    text = text_of.variant(path, macros)
    names = text_of.kernels(text)
    if not names:
        raise ValueError(f'{path.name} has no kernels: they are written extern "C" __global__ void name(…).')
    program = _program(text, names)
    compiler = _compiler()
    if compiler is None:
        raise CudaError(
            "CUDA kernels run on NumPy arrays through a C++ compiler, and none is installed: install g++ (Debian and "
            'Ubuntu: apt install g++), or use backend="numba".'
        )
    options = [*_OPTIONS, *_SANITIZERS[_sanitizer()]]
    headers = [header.read_text(encoding="utf-8") for header in (HEADER, RACES)]
    made_of = [program, *headers, *options, _version(compiler), _processor()]
    built = cached.file(path.stem, ".so", made_of, lambda: _compile(path, program, [compiler, *options]))
    try:
        return _Library(path, names, ctypes.CDLL(str(built)))
    except OSError as problem:
        advice = "; TINYCONV_SANITIZE needs GCC, and for `address` its runtime by LD_PRELOAD" if _sanitizer() else ""
        raise CudaError(f"{path.name}, compiled for the processor, cannot be loaded ({problem}){advice}.") from problem


# Nothing is exported but the three functions at the end; multiplications and additions may be fused, as nvcc does.
_OPTIONS = ("-std=c++17", "-O2", "-march=native", "-w", "-shared", "-fPIC", "-fvisibility=hidden", "-fmax-errors=1")
_SANITIZERS = {
    "": (),
    "address": ("-fsanitize=address", "-fno-omit-frame-pointer", "-g1"),
    # The calls that it puts into the code, without the library that usually answers them.  The less the compiler moves
    # accesses (out of a loop with a condition, say), the better; but without optimising it does not see all.
    "thread": ("-fsanitize=thread", "-O1", "-fno-tree-loop-im", "-fno-exceptions", "-nodefaultlibs"),
}


def _program(text: str, names: Sequence[str]) -> str:
    """The C++ program for a .cu file's text."""
    table = ", ".join(
        f'{{"{name}", host::Entry<{name}>::call, host::Entry<{name}>::signature, host::Entry<{name}>::count}}'
        for name in names
    )
    dynamic = r"\1* const \2 = reinterpret_cast<\1*>(host::dynamic_shared);"
    return f"""#include "host.cuh"
namespace {{
{_DYNAMIC.sub(dynamic, text)}
#line 1 "entries"
const host::Kernel table[] = {{{table}}};
}}
#define EXPORTED extern "C" __attribute__((visibility("default")))
EXPORTED const char* tinyconv_launch(int k, const unsigned* sizes, size_t shared, const uint64_t* values, int backwards)
{{ return host::launch(table[k], sizes, shared, values, backwards); }}
EXPORTED void tinyconv_signature(int k, char* text) {{ table[k].describe(text); }}
EXPORTED char* tinyconv_stacks(char* given) {{ return host::use_stacks(given); }}
"""


def _compile(path: Path, program: str, command: Sequence[str]) -> bytes:
    """Compile `program` and return the library."""
    with tempfile.TemporaryDirectory() as folder:
        file, library = Path(folder, "program.cpp"), Path(folder, "library.so")
        file.write_text(program, encoding="utf-8")
        line = [*command, "-I", str(text_of.FOLDER), str(file), "-o", str(library), "-lm", "-lc", "-lgcc"]
        try:
            ended = subprocess.run(
                line, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS_TO_COMPILE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise CudaError(f"{path.name} cannot be compiled for the processor: {problem}.") from problem
        if ended.returncode:
            raise CompileError(f"{path.name} does not compile: {first_error(ended.stderr)}")
        return library.read_bytes()


def first_error(printed: str) -> str:
    """What a compiler says first, or last if it does not say "error"."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line]
    return errors[0] if errors else lines[-1] if lines else "the compiler does not say why."


def _sanitizer() -> str:
    asked = os.environ.get("TINYCONV_SANITIZE", "")
    if asked not in _SANITIZERS:
        raise CudaError(f"TINYCONV_SANITIZE is {asked!r}; it can be address or thread, or be left out.")
    return asked


@cache
def _compiler() -> str | None:
    return shutil.which("g++") if os.name == "posix" else None  # host.cuh asks the system for memory


@cache
def _version(compiler: str) -> str:
    told = subprocess.run(
        [compiler, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return told.stdout


@cache
def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
