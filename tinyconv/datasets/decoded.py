"""Decoded pictures kept in the cache, so that decoding tens of thousands of them happens once."""

import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv import lock
from tinyconv.datasets.dataset import Split
from tinyconv.datasets.folders import cache_folder

Array = np.ndarray[Any, Any]


def images_and_labels(key: str, decode: Callable[[], Split]) -> Split:
    """Return what `decode` returned when it was first asked for `key`, from a file in the cache.

    `key` names the content it was decoded from (its hash), so a stale file is never used; a damaged one is replaced.
    Where the cache cannot be written, a warning says so and the pictures are decoded each time.
    """
    path = cache_folder() / "decoded" / f"{key}.npz"
    found = _read(path)
    if found is not None:
        return found
    split = decode()
    try:
        _write(path, split)
    except OSError as problem:
        warnings.warn(f"Decoded pictures are not kept: {path} cannot be written ({problem.strerror}).", stacklevel=2)
    return split


def _read(path: Path) -> Split | None:
    """What is in the file, or None if it is missing or damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, split: Split) -> None:
    """Write the file whole or not at all."""
    with lock.exclusive(path.parent):
        part = path.with_name(f"{path.name}.part")
        try:
            with open(part, "wb") as file:
                np.savez(file, x=split[0], y=split[1])
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
