"""Saving and loading models: `save`, `load_model`, `save_weights`, `load_weights`.

The name of a file says its format:

    model.safetensors, model.tinyconv   one file in tinyconv's own format (see `native`)
    model                               a folder in tinyconv's own format
    model.h5, model.hdf5                Keras's HDF5 layout, which Keras can load (see `hdf5`; needs h5py)

All keep the optimizer's state and how far training is, so that `fit` continues where it stopped.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from tinyconv import backends
from tinyconv.errors import ModelFileError
from tinyconv.models import Sequential
from tinyconv.saving import hdf5, native, snapshot
from tinyconv.saving.snapshot import Document, Tensors

__all__ = ["load", "load_model", "load_weights", "save", "save_weights"]

NATIVE = ("", ".safetensors", ".tinyconv")
HDF5 = (".h5", ".hdf5")


def save(model: Sequential, path: str | PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
    """Save architecture, weights, optimizer and progress of `model`; an existing model at `path` is replaced at once.

    `extra` may hold anything of JSON's types, and arrays; `load` returns it.

    Raises StateError for a model without weights, ModelFileError when `path` cannot be written.
    """
    _write(Path(path), *snapshot.take(model, extra))


def save_weights(model: Sequential, path: str | PathLike[str]) -> None:
    """Save `model` without its optimizer and compilation; arguments and errors as for `save`."""
    _write(Path(path), *snapshot.take(model, with_training=False))


def load_model(path: str | PathLike[str], *, backend: str | None = None) -> Sequential:
    """Return the model saved at `path`, compiled if it was, ready to predict or to continue training.

    It works on `backend`; if None, on the one it was saved from, or on the default where this machine lacks that.

    Raises ModelFileError when there is no model, or one that is damaged or newer than this tinyconv.
    """
    return load(path, backend=backend)[0]


def load(path: str | PathLike[str], *, backend: str | None = None) -> tuple[Sequential, dict[str, Any]]:
    """Return the model as `load_model` does, and the `extra` that was saved with it."""
    if backend is not None:
        backends.get(backend)  # an unknown one is no fault of the file
    return snapshot.restore(*_read(Path(path)), str(path), backend)


def load_weights(model: Sequential, path: str | PathLike[str]) -> None:
    """Copy the weights saved at `path` into `model`, which has the same layers; their names may differ.

    Raises StateError for a model that is not built, and ModelFileError, which names the layer and both shapes, for
    weights of another model; nothing has changed then.
    """
    snapshot.set_weights(model, *_read(Path(path)), str(path))


def _write(path: Path, document: Document, tensors: Tensors) -> None:
    suffix = path.suffix.lower()
    if suffix in HDF5:
        if path.name.lower().endswith(".weights.h5"):
            raise ModelFileError(f"{path}: Keras keeps another layout in files named .weights.h5; use .h5 alone.")
        hdf5.write(path, document, tensors)
    elif suffix in NATIVE:
        native.write(path, document, tensors)
    else:
        _refuse_keras(path)
        raise ModelFileError(
            f"{path}: {suffix} is no format for models; use .safetensors, .h5, or no suffix for a folder."
        )


def _read(path: Path) -> tuple[Document, Tensors]:
    if not path.exists():
        raise ModelFileError(f"There is no model {path}.")
    _refuse_keras(path)
    return hdf5.read(path) if hdf5.is_hdf5(path) else native.read(path)


def _refuse_keras(path: Path) -> None:
    if path.suffix.lower() == ".keras":
        raise ModelFileError(
            f"{path}: tinyconv does not read or write .keras archives; use .h5, which Keras loads and saves too, or "
            ".safetensors."
        )
