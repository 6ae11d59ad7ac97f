"""Files and folders that appear whole or not at all: written beside their place, flushed to disk, then moved there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tinyconv.errors import ModelFileError


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a new name to write to; afterwards that file takes the place of `path`, or vanishes if there was an error.

    Folders above `path` are made.  Raises ModelFileError, with the system's reason, when `path` cannot be written.
    """
    temporary = _beside(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to write files into; afterwards it takes the place of `path`, or vanishes after an error.

    Raises ModelFileError as `replacing_file` does.
    """
    temporary, old = _beside(path), _beside(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.mkdir()
            yield temporary
            for file in [*temporary.iterdir(), temporary]:
                _flush(file)
            if path.exists():
                os.rename(path, old)  # a folder with files in it cannot be replaced in one step
            try:
                os.rename(temporary, path)
            except OSError:
                if old.exists():
                    os.rename(old, path)
                raise
            _flush(path.parent)
        finally:
            for folder in (temporary, old):
                shutil.rmtree(folder, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name that nobody else uses, on the same disk as `path`."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")


def _flush(path: Path) -> None:
    """Wait until a file's contents, or a folder's list of names, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while something writes to `path` into a ModelFileError."""
    try:
        yield
    except OSError as problem:
        raise ModelFileError(f"Cannot write {path}: {problem.strerror or problem}.") from problem
