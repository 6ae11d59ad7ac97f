"""How tinyconv compiles: one decorator around Numba's, with the rules every kernel shares.

No fast-math: NaN and infinities must propagate (`error_model="numpy"` makes division follow IEEE 754 as well).  The GIL
is released.  Machine code is kept on disk in `cache_folder()`, whose name contains a hash of all kernel sources: Numba
itself only notices changes in the file of the function, not in the helpers it inlines.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config

from . import jit_cache
from .threads import guarded


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR if set, else the user's cache folder."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        if "cuda" not in (source.stem, source.parent.name):  # nothing there is compiled by Numba
            digest.update(source.read_bytes())
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyconv" / "jit"
    return Path(config.CACHE_DIR or default) / digest.hexdigest()[:16]


def jit(*, parallel: bool = False, inline: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a kernel: compiled on first call for each combination of dtypes, then kept on disk.

    `parallel` turns `numba.prange` loops into threads (see `threads`).  `inline` is for small helpers, which compile
    into their caller (always: a call inside of a loop would keep it from being vectorised) and need no cache of their
    own; all other kernels are called by Python, by no other kernel, and what they return is not used.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
        try:
            compiled: Callable[..., Any] = numba.njit(
                forceinline=inline, parallel=parallel, nogil=True, error_model="numpy"
            )(function)
            if not inline:
                jit_cache.keep(compiled, function)
        finally:
            config.CACHE_DIR = before
        return compiled if inline else guarded(compiled)

    return decorate
