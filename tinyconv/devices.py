"""Where a backend keeps its arrays: in the memory of the processor, or in that of a GPU.

    x = device.asarray(batch)        a NumPy array on the device
    device.numpy(y)                  and back

A network's arithmetic is the backend's operations; a device adds memory, and the little arithmetic that layers do
besides.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from tinyconv.checks import host_array
from tinyconv.errors import OutOfMemoryError
from tinyconv.kernels.workspace import Workspace
from tinyconv.pieces import sum_of_squares
from tinyconv.utils import readable

Array = Any  # a NumPy array, or a CuPy array on a GPU
Shape = tuple[int, ...]

ALIGNMENT = 64  # bytes: a cache line


class Device:
    """The processor and its memory."""

    tapes = False  # whether a step of training can be put on a tape, see `kernels.tape`
    captures = False  # whether a step of training can be captured as a graph, see `kernels.cuda.graphs`

    def empty(self, shape: Shape, dtype: Any) -> Array:
        """A new array, not initialised."""
        return np.empty(shape, dtype)

    def zeros(self, size: int, dtype: Any) -> Array:
        """A new array (size,) of zeros that starts at a multiple of `ALIGNMENT` bytes."""
        dtype = np.dtype(dtype)
        memory = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size * dtype.itemsize].view(dtype)

    def workspace(self) -> Workspace:
        """Memory for a plan."""
        return Workspace()

    def asarray(self, x: Any) -> Array:
        """`x` on this device: itself if it is there, else a copy; raises DataError for what lies on a GPU."""
        return host_array(x, "x")

    def convert(self, x: np.ndarray[Any, Any], out: Array) -> Array:
        """`x` in the dtype of `out`, which is on this device and is returned."""
        np.copyto(out, x, casting="unsafe")
        return out

    def numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """`x` as a NumPy array: itself if it is one, else a copy."""
        return np.asarray(x)

    def synchronize(self) -> None:
        """Wait until everything that was started is done."""

    def memory(self) -> str:
        """How much memory is used, for people; empty where nobody counts."""
        return ""

    def room_for(
        self, what: str, advice: str, release: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """A context in which a GPU's MemoryError becomes an OutOfMemoryError; of the processor's memory, NumPy tells.

        `release` is then called, to give memory back.
        """
        return nullcontext()

    def release(self) -> None:
        """Give memory that is kept for later back to the system."""

    def affine(self, x: Array, scale: float, offset: float, out: Array) -> Array:
        """out = x · scale + offset."""
        y = np.multiply(x, scale, out=out)
        y += offset
        return y

    def follow(self, average: Array, value: Array, momentum: float) -> None:
        """average ← momentum · average + (1 - momentum) · value, in place."""
        average *= momentum
        average += (1 - momentum) * value

    def clip(self, x: Array, limit: float) -> None:
        """x ← min(max(x, -limit), limit), in place; NaN stays NaN."""
        np.clip(x, -limit, limit, out=x)

    def shorten(self, x: Array, norm: float) -> None:
        """Scale x (size,) in place to an L2 norm of at most `norm`; NaN stays NaN."""
        length = sqrt(sum_of_squares(x))
        if not length <= norm:
            x *= norm / length


class Compiled(Device):
    """The processor, with this arithmetic compiled too: all that a layer computes is then done by kernels."""

    tapes = True

    def affine(self, x: Array, scale: float, offset: float, out: Array) -> Array:
        """out = x · scale + offset."""
        from tinyconv.kernels import elementwise  # takes Numba, which NumPy users need not have loaded

        return elementwise.affine(x, scale, offset, out)

    def follow(self, average: Array, value: Array, momentum: float) -> None:
        """average ← momentum · average + (1 - momentum) · value, in place."""
        from tinyconv.kernels import elementwise

        elementwise.follow(average, value, momentum)


class CudaOnHost(Device):
    """CUDA kernels compiled for the processor, on NumPy arrays: for tests, which so run all of the cupy backend."""

    captures = True

    def affine(self, x: Array, scale: float, offset: float, out: Array) -> Array:
        """out = x · scale + offset."""
        from tinyconv.kernels.cuda import step

        return step.affine(x, scale, offset, out)

    def follow(self, average: Array, value: Array, momentum: float) -> None:
        """average ← momentum · average + (1 - momentum) · value, in place."""
        from tinyconv.kernels.cuda import step

        step.follow(average, value, momentum)

    def clip(self, x: Array, limit: float) -> None:
        """x ← min(max(x, -limit), limit), in place; NaN stays NaN."""
        from tinyconv.kernels.cuda import step

        step.clip(x, limit)

    def shorten(self, x: Array, norm: float) -> None:
        """Scale x (size,) in place to an L2 norm of at most `norm`; NaN stays NaN."""
        from tinyconv.kernels.cuda import step

        step.shorten(x, norm, self._parts)

    @cached_property
    def _parts(self) -> Array:
        """Scratch memory for sums; graphs keep its address, so it stays."""
        from tinyconv.kernels.cuda import step

        return self.zeros(step.MOST_PARTS, np.float64)


class Gpu(CudaOnHost):
    """An NVIDIA GPU: CuPy's current one."""

    def __init__(self) -> None:
        import cupy

        self._cupy: Any = cupy

    def empty(self, shape: Shape, dtype: Any) -> Array:
        """A new array, not initialised."""
        return self._cupy.empty(shape, dtype)

    def zeros(self, size: int, dtype: Any) -> Array:
        """A new array (size,) of zeros; CuPy aligns all memory to 512 bytes."""
        return self._cupy.zeros(size, dtype)

    def workspace(self) -> Workspace:
        """Memory for a plan."""
        from tinyconv.kernels.cuda.arrays import DeviceWorkspace

        return DeviceWorkspace()

    def asarray(self, x: Any) -> Array:
        """`x` on this device: itself if it is there, else a copy."""
        return self._cupy.asarray(x)

    def convert(self, x: np.ndarray[Any, Any], out: Array) -> Array:
        """`x` in the dtype of `out`, which is on this device and is returned; it travels in its own dtype."""
        out[...] = self._cupy.asarray(x)
        return out

    def numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """`x` as a NumPy array: itself if it is one, else a copy; waits until `x` is there."""
        return self._cupy.asnumpy(x) if isinstance(x, self._cupy.ndarray) else np.asarray(x)

    def synchronize(self) -> None:
        """Wait until everything that was started is done."""
        self._cupy.cuda.get_current_stream().synchronize()

    def memory(self) -> str:
        """How much memory is used, for people, and what CuPy's pool keeps for later."""
        pool = self._cupy.get_default_memory_pool()
        free, total = self._cupy.cuda.runtime.memGetInfo()
        return (
            f"{readable(pool.used_bytes())} in use and {readable(pool.free_bytes())} pooled by this program, "
            f"{readable(free)} of {readable(total)} free on the GPU"
        )

    @contextmanager
    def room_for(self, what: str, advice: str, release: Callable[[], None] | None = None) -> Iterator[None]:
        """A context in which a MemoryError becomes one that says how much was wanted, is used and is pooled."""
        try:
            yield
        except MemoryError as problem:
            cause = problem.__cause__ if isinstance(problem, OutOfMemoryError) else problem  # the outer `what` counts
            sentence = (
                f"The GPU has too little memory for {what}: {str(cause).rstrip('.')}; {self.memory()}. {advice}, end "
                'other programs that use the GPU, or use backend="numba".'
            )
            if release is not None:
                release()
            raise OutOfMemoryError(sentence) from cause

    def release(self) -> None:
        """Give memory that is kept for later back to the system."""
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: there is nothing to keep."""
        return Gpu, ()


HOST = Device()
