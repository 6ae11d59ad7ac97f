"""Arrays for either device: what the CUDA rungs need of NumPy and of CuPy, in one set of functions.

No function here decides where to compute: that follows from the arrays that come in.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..workspace import Workspace

Array = Any  # a NumPy array on the host, a CuPy array on a GPU


def namespace(x: Array) -> ModuleType:
    """`numpy` or `cupy`, whichever `x` belongs to."""
    if isinstance(x, np.ndarray):
        return np
    import cupy

    return cupy


def empty(shape: Sequence[int], dtype: Any, like: Array) -> Array:
    """A new uninitialised array where `like` is."""
    return namespace(like).empty(tuple(shape), dtype)


def contiguous(x: Array) -> Array:
    """`x` itself if it is C-contiguous, else a copy that is."""
    return x if x.flags.c_contiguous else namespace(x).ascontiguousarray(x)


def ensure(out: Array | None, shape: Sequence[int], dtype: Any, like: Array) -> Array:
    """`out` itself after checking its shape, or a new uninitialised array where `like` is.

    Raises ValueError when `out` has another shape or dtype, is not C-contiguous, or is on another device.
    """
    if out is None:
        return empty(shape, dtype, like)
    if type(out) is not type(like):
        raise ValueError(f"out is a {_kind(out)} array, but the input is a {_kind(like)} array: both go on one device.")
    if out.shape != tuple(shape):
        raise ValueError(f"out has shape {out.shape}, but the result has shape {tuple(shape)}.")
    if out.dtype != dtype:
        raise ValueError(f"out has dtype {out.dtype}, but the result has {np.dtype(dtype)}.")
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous; give a new array and copy the result from there.")
    return out


def scratch(workspace: Workspace | None, name: str, shape: Sequence[int], dtype: Any, like: Array) -> Array:
    """Uninitialised memory from `workspace`, kept for the next call, or a new array without one."""
    return empty(shape, dtype, like) if workspace is None else workspace.array(name, shape, dtype)


def _kind(x: Array) -> str:
    return type(x).__module__.partition(".")[0]


class DeviceWorkspace(Workspace):
    """A `Workspace` in the memory of the GPU."""

    def _allocate(self, size: int, dtype: np.dtype[Any]) -> Array:
        import cupy

        return cupy.empty(size, dtype)
