"""Compiled kernels on disk: a file appears whole or not at all, and its name tells what it was made of."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .. import compiling
from .problems import CudaError


def folder() -> Path:
    """Where they are kept: in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyconv" / "cuda"


def file(
    stem: str, suffix: str, made_of: Iterable[str], make: Callable[[], bytes], *, anew: bool = False
) -> Path:
    """The file that `make` returned the content of, when this was first asked for with the same `made_of`.

    With `anew` it is made again, as what is there has turned out to be broken.  Raises CudaError when it cannot be
    written.
    """
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:24]
    path = folder() / f"{stem}-{digest}{suffix}"
    if path.exists() and not anew:
        return path
    compiling.begins()
    content = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as unfinished:
            unfinished.write(content)
        Path(unfinished.name).replace(path)
    except OSError as problem:
        raise CudaError(
            f"Compiled kernels cannot be kept in {path.parent} ({problem.strerror}); set XDG_CACHE_HOME to a folder "
            "that can be written."
        ) from problem
    return path
