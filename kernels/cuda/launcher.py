"""Launch a kernel of a .cu file: on the GPU that holds its arrays, or on the processor for NumPy arrays.

    source = Source(Path(__file__).with_name("relu.cu"))
    source.launch("forward", blocks(x.size, 256), 256, x, y, np.int64(x.size), defines={"T": ctype(x.dtype)})

Which of the two it is, is decided by the arrays; the calling code does not know.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import source as text_of
from .source import Defines

Size = int | tuple[int, ...]

MOST_THREADS = 1024  # per block
MOST_BLOCKS = (2**31 - 1, 65535, 65535)


class Source:
    """One .cu file, compiled when it is first launched, once for each set of `defines` and each device.

    Its kernels are written `extern "C" __global__ void name(const T* x, T* y, int n)`: arrays are pointers (const where
    the kernel only reads), all else is a number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._defines: dict[tuple[tuple[str, object], ...], Defines] = {}

    def launch(
        self, kernel: str, grid: Size, block: Size, *arguments: Any, shared: int = 0,
        defines: Mapping[str, object] | None = None,
    ) -> None:
        """Run `kernel` for `grid` blocks of `block` threads.

        Arguments:
            grid, block: up to three numbers, x first.
            arguments: in the order of the kernel's parameters: C-contiguous arrays, NumPy scalars of exactly the
                parameter's type, and None for a pointer that is to be null.
            shared: bytes of dynamic shared memory per block.
            defines: macros; each set of them is a variant of its own.

        On a GPU this returns before the kernel has run.  Raises ValueError for arguments that do not fit, CompileError
        in the compiler's words, CudaError when there is no compiler, or when the kernel fails.
        """
        sizes = _three(grid, "grid"), _three(block, "block")
        _check_sizes(self, kernel, *sizes)
        macros = self._macros(defines)
        first = next((one for one in arguments if not (one is None or isinstance(one, np.generic))), None)
        on_host = first is None or isinstance(first, np.ndarray)
        Launch(self.path, kernel, macros, *sizes, arguments, shared, on_host)()

    def _macros(self, given: Mapping[str, object] | None) -> Defines:
        key = tuple(given.items()) if given else ()
        macros = self._defines.get(key)
        if macros is None:
            macros = self._defines[key] = text_of.defines(given)
        return macros


class Launch(NamedTuple):
    """A launch that has been checked, to be called; as `Source.launch`."""

    path: Path
    kernel: str
    macros: Defines
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Any, ...]
    shared: int
    on_host: bool

    def __call__(self) -> None:
        """Run it, or write it down while that is what is done (see `recording`)."""
        if _recording:
            _recorded.append(self)
        elif self.on_host:
            from . import host

            host.launch(*self[:-1])
        else:
            from . import gpu

            gpu.launch(*self[:-1])


_recording = False
_recorded: list[Launch] = []


@contextmanager
def recording() -> Iterator[list[Launch]]:
    """Write launches down instead of running them, as a GPU's stream does that captures a graph."""
    global _recording, _recorded
    _recording, _recorded = True, []
    try:
        yield _recorded
    finally:
        _recording, _recorded = False, []


def ctype(dtype: Any) -> str:
    """The C name of a dtype, for `defines`.

    >>> ctype(np.float32), ctype("uint8")
    ('float', 'unsigned char')
    """
    return CTYPES[np.dtype(dtype).name]


def blocks(size: int, per_block: int) -> int:
    """How many blocks of `per_block` it takes for `size`: their quotient, rounded up."""
    return -(-size // per_block)


CTYPES = {
    "float32": "float", "float64": "double", "int32": "int", "int64": "long long", "uint8": "unsigned char",
    "uint32": "unsigned int", "uint64": "unsigned long long", "int8": "signed char", "int16": "short",
    "uint16": "unsigned short", "bool": "bool",
}


def _three(size: Size, name: str) -> tuple[int, int, int]:
    given = (size,) if isinstance(size, int | np.integer) else tuple(size)
    if not 1 <= len(given) <= 3:
        raise ValueError(f"{name} must be one to three numbers, but got {size!r}.")
    x, y, z = (int(one) for one in (*given, 1, 1)[:3])
    return x, y, z


def _check_sizes(source: Source, kernel: str, grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
    where = f"{source.path.name}, kernel {kernel}"
    if min(grid) < 1 or any(size > most for size, most in zip(grid, MOST_BLOCKS, strict=True)):
        raise ValueError(f"{where}: a grid is 1 … {MOST_BLOCKS[0]} blocks in x and 1 … 65535 in y and z, not {grid}.")
    if min(block) < 1 or block[0] * block[1] * block[2] > MOST_THREADS or block[2] > 64:
        raise ValueError(f"{where}: a block has 1 … {MOST_THREADS} threads (at most 64 in z), not {block}.")
