"""All datasets by name: load one, list them, download one, check the files of one."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tinyconv.datasets import cifar10, digits, fashion_mnist, files, image_folder, mnist
from tinyconv.datasets.dataset import Dataset, from_splits
from tinyconv.errors import ArgumentError, DataError
from tinyconv.naming import suggestion

# Each module has DESCRIPTION, CLASS_NAMES, load_data() and files().
_MODULES: dict[str, ModuleType] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
}


@dataclass(frozen=True)
class Status:
    """A dataset and where its files are."""

    name: str
    description: str
    folders: tuple[Path, ...]  # that hold its files; empty for bundled data
    missing: tuple[str, ...]  # files that are not on this machine


@dataclass(frozen=True)
class FileReport:
    """One file of a dataset after its content was checked."""

    name: str  # folder/file
    path: Path | None  # None where it is not on this machine
    problem: str | None  # a sentence, or None for a file that is as it should be


def names() -> tuple[str, ...]:
    """The names that `load` knows, bundled data first."""
    return tuple(_MODULES)


def load(name: str | os.PathLike[str], **folder_options: Any) -> Dataset:
    """Return a dataset by name ("digits", "mnist", "fashion_mnist", "cifar10") or any image folder by its path.

    `folder_options` are those of `tinyconv.datasets.image_folder.load`.  Raises ArgumentError for an unknown name,
    DataError for unusable files, DownloadError when a file cannot be had.
    """
    known = _find(name)
    if known is None:
        if isinstance(name, os.PathLike) or os.sep in name or "/" in name or Path(name).is_dir():
            return image_folder.load(name, **folder_options)
        raise ArgumentError(
            f"There is no dataset {name!r}. {suggestion(name, names())} Or give the path of an image folder."
        )
    if folder_options:
        raise ArgumentError(f"{', '.join(folder_options)}: only an image folder takes such options, not {known}.")
    module = _MODULES[known]
    (train, test), where = module.load_data(), status(known)
    origin = ", ".join(map(str, where.folders)) or "bundled with scikit-learn"
    return from_splits(known, train, test, module.CLASS_NAMES, origin)


def status(name: str) -> Status:
    """Where the files of a dataset are, unchecked.  Raises ArgumentError for an unknown name."""
    known = _known(name)
    found = {file: files.locate(file) for file in _MODULES[known].files()}
    return Status(
        known,
        _MODULES[known].DESCRIPTION,
        tuple(sorted({path.parent for path in found.values() if path is not None})),
        tuple(f"{file.folder}/{file.name}" for file, path in found.items() if path is None),
    )


def download(name: str) -> Status:
    """Make sure that every file of a dataset is on this machine and right, downloading what is not.

    Raises ArgumentError for an unknown name, and DataError and DownloadError as `load` does.
    """
    for file in _MODULES[_known(name)].files():
        files.load(file)
    return status(name)


def verify(name: str) -> tuple[FileReport, ...]:
    """Check the content of a dataset's files; nothing is downloaded or changed.

    Raises ArgumentError for an unknown name.
    """
    reports = []
    for file in _MODULES[_known(name)].files():
        path, problem = files.locate(file), None
        if path is None:
            problem = "It is not on this machine."
        else:
            try:
                file.read(path)
            except DataError as error:
                problem = str(error)
        reports.append(FileReport(f"{file.folder}/{file.name}", path, problem))
    return tuple(reports)


def _find(name: str | os.PathLike[str]) -> str | None:
    """The name as `names` has it: "Fashion-MNIST" means "fashion_mnist", "cifar-10" means "cifar10"."""
    plain = str(name).lower().replace("-", "").replace("_", "")
    matches = [known for known in names() if known.replace("_", "") == plain]
    return matches[0] if isinstance(name, str) and matches else None


def _known(name: str) -> str:
    """`_find`, or ArgumentError."""
    known = _find(name)
    if known is None:
        raise ArgumentError(f"There is no dataset {name!r}. {suggestion(name, names())}")
    return known
