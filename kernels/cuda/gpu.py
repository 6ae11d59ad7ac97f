"""CUDA kernels on the GPU: compiled by NVRTC through CuPy, which keeps the machine code on disk (CUPY_CACHE_DIR)."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from . import source as text_of
from .host import first_error
from .problems import CompileError
from .source import Defines

SHARED_WITHOUT_ASKING = 48 * 1024  # bytes of dynamic shared memory that any kernel may have

_OPTIONS = ("--std=c++17",)  # fused multiply-add is on by default; no fast-math
_NULL = np.uint64(0)


def launch(
    path: Path, kernel: str, macros: Defines, grid: tuple[int, int, int], block: tuple[int, int, int],
    arguments: Sequence[Any], shared: int,
) -> None:
    """See `launcher.Source.launch`: queued on CuPy's current stream, which may be capturing a graph."""
    for place, argument in enumerate(arguments):
        _check(path, kernel, place, argument)
    function = _kernel(path, kernel, macros, cupy.cuda.runtime.getDevice(), shared)
    function(grid, block, tuple(_NULL if one is None else one for one in arguments), shared_mem=shared)


def _check(path: Path, kernel: str, place: int, argument: Any) -> None:
    if argument is None or isinstance(argument, np.generic):
        return
    where = f"{path.name}, kernel {kernel}: parameter {place + 1}"
    if not isinstance(argument, cupy.ndarray):
        what = f"{type(argument).__module__}.{type(argument).__name__}".removeprefix("builtins.")
        raise ValueError(f"{where} is {what}, but the other arrays are on the GPU: move it there with cupy.asarray.")
    if not argument.flags.c_contiguous:
        raise ValueError(f"{where} is a strided array; the kernel needs a C-contiguous one.")


@cache
def _kernel(path: Path, kernel: str, macros: Defines, device: int, shared: int) -> Any:
    """The kernel on the current device, compiled and allowed to use `shared` bytes."""
    function = _module(path, macros, device).get_function(kernel)
    if shared > SHARED_WITHOUT_ASKING:
        function.max_dynamic_shared_size_bytes = shared
    return function


@cache
def _module(path: Path, macros: Defines, device: int) -> Any:
    text = text_of.read(path)
    module = cupy.RawModule(code=text, options=(*_OPTIONS, *(f"-D{name}={value}" for name, value in macros)))
    try:
        module.compile()
    except cupy.cuda.compiler.CompileException as problem:
        raise CompileError(f"{path.name} does not compile: {first_error(str(problem))}") from problem
    return module
