"""Compiled kernels on disk: Numba's cache, for several processes at once, full disks and power cuts.

Numba numbers the files of a function's variants by an index that every process rewrites.  Two processes that compile
different variants at the same time can so leave the machine code of one under the key of the other, for good; and a
damaged file ends every program that reads it.  Here a file is named after its key and written before the index tells
of it, what cannot be read is compiled again, and what cannot be written is only told about.
"""

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from . import compiling


def keep(compiled: Any, function: Callable[..., Any]) -> None:
    """Let the dispatcher `compiled`, which compiles `function`, keep its machine code in `numba.config.CACHE_DIR`."""
    try:
        compiled._cache = _KernelCache(function)  # what Numba's own enable_caching() does
    except RuntimeError:  # Numba has found no folder that can be written
        _warn("no folder can be written")


class _Files(IndexDataCacheFile):  # type: ignore[misc]  # Numba has no types
    """The index of one function and the files of its variants."""

    def save(self, key: Any, data: Any) -> None:
        """Keep one variant."""
        name = self._data_name(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big"))
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})

    def load(self, key: Any) -> Any:
        """Return what `save` was given, or None where that is missing or damaged."""
        try:
            return super().load(key)
        except Exception:  # unpickling a damaged file raises almost anything
            return None

    def _load_index(self) -> dict[Any, str]:
        try:
            return dict(super()._load_index())
        except Exception:
            return {}


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, on these files."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return a variant, or None where it has to be compiled."""
        found = super().load_overload(sig, target_context)
        if found is None:
            compiling.begins()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a variant, if the disk allows it."""
        try:
            super().save_overload(sig, data)
        except OSError as problem:
            _warn(problem.strerror or str(problem))


@cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"Compiled kernels cannot be kept on disk ({reason}), so every start compiles them anew. "
        "Set NUMBA_CACHE_DIR to a folder that can be written.",
        stacklevel=2,
    )
