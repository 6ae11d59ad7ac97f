"""CUDA kernels on the GPU: compiled by NVRTC, whose machine code is kept on disk, and launched by CuPy.

CuPy's own way to compile flushes numbers below 1.2e-38 to zero; here they stay what they are, as on the processor.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from . import cached
from . import source as text_of
from .host import first_error
from .problems import CompileError, CudaError
from .source import Defines

# Multiplications and additions are fused by default; no fast-math.  That generic lambdas are device code, CuPy says by
# itself (--device-as-default-execution-space), and some versions of NVRTC refuse to be told twice.
_OPTIONS = ("--std=c++17",)
_NULL = np.uint64(0)


def launch(
    path: Path, kernel: str, macros: Defines, grid: tuple[int, int, int], block: tuple[int, int, int],
    arguments: Sequence[Any], shared: int,
) -> None:
    """See `launcher.Source.launch`: queued on CuPy's current stream, which may be capturing a graph."""
    for place, argument in enumerate(arguments):
        if not (argument is None or isinstance(argument, np.generic)):
            _check(path, kernel, place, argument)
    try:
        function = _kernel(path, kernel, macros, cupy.cuda.runtime.getDevice(), shared)
        function(grid, block, tuple(_NULL if one is None else one for one in arguments), shared_mem=shared)
    except (cupy.cuda.driver.CUDADriverError, cupy.cuda.runtime.CUDARuntimeError) as problem:
        raise CudaError(f"{path.name}, kernel {kernel}: {problem}, for {block} threads in {grid} blocks.") from problem


def compile_for(path: Path, macros: Defines, architecture: str | None = None) -> bytes:
    """The machine code of a .cu file, for `architecture` ("90") or that of the current device.

    Raises CompileError in the compiler's words, CudaError where NVRTC is missing.
    """
    text = text_of.variant(path, macros)
    compiler = cupy.cuda.compiler
    try:
        with _nvrtc():  # in memory, as CuPy would write a file in the locale's encoding, which may be ASCII
            binary, _ = compiler.compile_using_nvrtc(text, _OPTIONS, architecture, path.name, cache_in_memory=True)
    except compiler.CompileException as problem:
        raise CompileError(f"{path.name} does not compile: {first_error(str(problem))}") from problem
    return bytes(binary) if isinstance(binary, bytes) else str(binary).encode()


def _check(path: Path, kernel: str, place: int, argument: Any) -> None:
    where = f"{path.name}, kernel {kernel}: parameter {place + 1}"
    if not isinstance(argument, cupy.ndarray):
        what = f"{type(argument).__module__}.{type(argument).__name__}".removeprefix("builtins.")
        raise ValueError(f"{where} is {what}, but the other arrays are on the GPU: move it there with cupy.asarray.")
    if not argument.flags.c_contiguous:
        raise ValueError(f"{where} is a strided array; the kernel needs a C-contiguous one.")
    if argument.device.id != cupy.cuda.runtime.getDevice():
        raise ValueError(f"{where} is on {argument.device}, but the kernel runs on {cupy.cuda.Device()}.")


@cache
def _kernel(path: Path, kernel: str, macros: Defines, device: int, shared: int) -> Any:
    """The kernel on the current device, compiled and allowed to use `shared` bytes."""
    function = _module(path, macros, device).get_function(kernel)
    if shared > function.max_dynamic_shared_size_bytes:  # never less: an earlier launch may want as much again
        function.max_dynamic_shared_size_bytes = shared
    return function


@cache
def _module(path: Path, macros: Defines, device: int) -> Any:
    """The machine code of a .cu file, loaded; what was kept and cannot be loaded is compiled once more."""
    architecture = cupy.cuda.Device(device).compute_capability
    with _nvrtc():
        compiler = cupy.cuda.nvrtc.getVersion()
    versions = map(str, (cupy.__version__, cupy.cuda.runtime.runtimeGetVersion(), compiler, architecture))
    made_of = (text_of.variant(path, macros), *_OPTIONS, *versions)
    built = partial(cached.file, path.stem, ".cubin", made_of, lambda: compile_for(path, macros, architecture))
    try:
        return _load(built())
    except cupy.cuda.driver.CUDADriverError:
        return _load(built(anew=True))


def _load(built: Path) -> Any:
    module = cupy.RawModule(path=str(built))
    module.compile()  # which loads a file
    return module


@contextmanager
def _nvrtc() -> Iterator[None]:
    """Tell in a sentence that NVRTC cannot be used, or that CUDA fails on the way to it."""
    try:
        yield
    except cupy.cuda.runtime.CUDARuntimeError as problem:
        raise CudaError(str(problem)) from problem
    except (OSError, RuntimeError, AttributeError) as problem:  # how CuPy says that a library is not there
        raise CudaError(
            f'NVRTC, which compiles CUDA kernels, cannot be used ({problem}): pip install "tinyconv[cuda12]", or '
            '"tinyconv[cuda13]", as `tinyconv doctor` advises.'
        ) from problem
