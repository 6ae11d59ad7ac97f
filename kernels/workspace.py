"""Named scratch memory that is kept between calls, so that a training step allocates nothing."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CAP_BYTES = 64 * 2**20  # what one im2col buffer may take; larger batches are worked through in pieces


class Workspace:
    """Hands out arrays by name and grows each one to the largest size asked for so far.

    The same name gives the same memory again, so whoever asks twice overwrites what was there.  `cap` is the number of
    bytes that an operation working in pieces should stay within for its largest buffer (see `pieces`).
    """

    def __init__(self, cap: int = CAP_BYTES) -> None:
        self.cap = cap
        self.version = 0  # another number means that names have got other memory
        self._memory: dict[tuple[str, np.dtype[Any]], Array] = {}
        self._views: dict[tuple[str, tuple[int, ...], np.dtype[Any]], Array] = {}

    def array(self, name: str, shape: Sequence[int], dtype: Any) -> Array:
        """An uninitialised C-contiguous array of `shape` and `dtype`, in memory that belongs to `name`."""
        key = (name, tuple(shape), np.dtype(dtype))
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._carve(*key)
        return view

    def _carve(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        size = prod(shape)
        memory = self._memory.get((name, dtype))
        if memory is None or memory.size < size:
            memory = self._memory[name, dtype] = self._allocate(size, dtype)
            self.version += 1
            for stale in [key for key in self._views if key[0] == name and key[2] == dtype]:
                del self._views[stale]
        return memory[:size].reshape(shape)

    def _allocate(self, size: int, dtype: np.dtype[Any]) -> Array:
        """An uninitialised array (size,) that starts at a cache line, so that no vector of 64 bytes lies across two."""
        memory = np.empty(size * dtype.itemsize + 63, np.uint8)
        start = -memory.ctypes.data % 64
        return memory[start : start + size * dtype.itemsize].view(dtype)

    def memory(self) -> list[Array]:
        """All memory held now; who keeps this list keeps it valid, even when names grow out of it."""
        return list(self._memory.values())

    def clear(self) -> None:
        """Forget all memory: it is free again when nobody else keeps it."""
        self._memory.clear()
        self._views.clear()
        self.version += 1

    def pieces(self, items: int, bytes_per_item: int) -> int:
        """How many of `items` fit the cap at once, at least one."""
        return max(1, min(items, self.cap // max(bytes_per_item, 1)))

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self.held_by("")

    def held_by(self, prefix: str) -> int:
        """Bytes held now by the names that begin with `prefix`."""
        return sum(memory.nbytes for (name, _), memory in self._memory.items() if name.startswith(prefix))


def ensure(out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """`out` itself after checking its shape, or a new uninitialised array when it is None.

    Raises ValueError when `out` has another shape or is not C-contiguous: an operation must not write beside it, nor
    into a copy of it.
    """
    if out is None:
        return np.empty(tuple(shape), dtype)
    if out.shape != tuple(shape):
        raise ValueError(f"out has shape {out.shape}, but the result has shape {tuple(shape)}.")
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous; give a new array and copy the result from there.")
    return out
