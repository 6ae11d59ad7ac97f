"""CIFAR-10: 60,000 colour pictures of ten kinds of things, 32×32 (Krizhevsky, 2009).

Read from the original archive, or, when only these are on this machine, from JPEG copies in two zip files with one
folder per class (train.zip: train/airplane/0000.jpg …).  JPEG loses a little, so results differ slightly.
"""

import tarfile
import zipfile
import zlib
from functools import partial
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tinyconv import random
from tinyconv.datasets import decoded, images, progress
from tinyconv.datasets.dataset import Split
from tinyconv.datasets.files import DataFile, load, locate
from tinyconv.errors import DataError

DESCRIPTION = "60,000 pictures of ten kinds of things, 32×32, colour"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Array = np.ndarray[Any, Any]

_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_BATCH_IMAGES = 10_000
_RECORD = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes
_MAX_JPEG = 1 << 20
_SHA256_OF_ARCHIVE = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def load_data() -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)): 50,000 and 10,000 images (n, 32, 32, 3), labels (n, 1), all uint8.

    Finds the files as `tinyconv.datasets.files` says, or downloads 162 MB.  Raises DataError or DownloadError.
    """
    if files() == _JPEG:
        train, test = (load(file) for file in _JPEG)
    else:
        train, test = load(_ARCHIVE)
    return train, test


def files() -> tuple[DataFile[Any], ...]:
    """The files that `load_data` reads: the JPEG copies if only they are on this machine, else the archive."""
    only_copies = locate(_ARCHIVE) is None and all(locate(file) is not None for file in _JPEG)
    return _JPEG if only_copies else (_ARCHIVE,)


def read_archive(path: Path, *, sha256: str) -> tuple[Split, Split]:
    """Return what is in cifar-10-binary.tar.gz; nothing of it is written to the disk.

    Raises DataError when the file's SHA-256 is another, or when it is not such an archive.
    """
    digest = _sha256(path)
    if digest != sha256:
        raise DataError(f"{path} is not the file it should be: its SHA-256 is {digest}, expected {sha256}.")
    batches: dict[str, Array] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                stream = archive.extractfile(member) if name in _BATCHES else None
                if stream is not None:
                    batches[name] = np.frombuffer(stream.read(_BATCH_IMAGES * _RECORD), np.uint8)
        records = [batches[name].reshape(_BATCH_IMAGES, _RECORD) for name in _BATCHES]
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, ValueError) as problem:
        raise DataError(f"{path} is not the CIFAR-10 binary archive: {problem}.") from problem
    return _split(np.concatenate(records[:5])), _split(records[5])


def read_jpeg_zip(path: Path, *, part: str) -> Split:
    """Return what is in train.zip or test.zip (`part` is "train" or "test"); decoded once, then kept in the cache.

    The classes are mixed, in an order that is always the same.  Raises DataError for anything but 32×32 pictures in
    one folder per class.
    """
    key = f"cifar10-jpeg-{part}-{_sha256(path)}"
    return decoded.images_and_labels(key, lambda: _decode_zip(path, part))


def _sha256(path: Path) -> str:
    """The SHA-256 of a file as it is."""
    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}.") from problem


def _split(records: Array) -> Split:
    """Images (n, 32, 32, 3) and labels (n, 1) of records (n, 3073)."""
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, :1].copy()


def _decode_zip(path: Path, part: str) -> Split:
    """Decode every picture in the zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(
                (info for info in archive.infolist() if info.filename.lower().endswith(".jpg")),
                key=lambda info: info.filename,
            )
            if not members:
                raise DataError(f"{path} has no .jpg files.")
            order = random.permutation(random.key(0, f"cifar10-jpeg/{part}"), len(members))
            x = np.empty((len(members), 32, 32, 3), np.uint8)
            y = np.empty((len(members), 1), np.uint8)
            with progress.bar(f"decoding {path.name}, once", len(members)) as advance:
                for place, member in zip(order, members, strict=True):
                    y[place] = _label(path, part, member)
                    x[place] = _picture(path, archive, member)
                    advance(1)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as problem:
        raise DataError(f"{path} is damaged or not a zip file: {problem}") from problem
    return x, y


def _label(path: Path, part: str, member: zipfile.ZipInfo) -> int:
    """The class that the member's folder says."""
    folders = PurePosixPath(member.filename).parts
    if len(folders) != 3 or folders[0] != part or folders[1] not in CLASS_NAMES:
        raise DataError(f"{path} has {member.filename}, expected {part}/CLASS/NAME.jpg with a class of CIFAR-10.")
    return CLASS_NAMES.index(folders[1])


def _picture(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """The member as (32, 32, 3)."""
    if member.file_size > _MAX_JPEG:
        raise DataError(f"{path} has {member.filename} of {member.file_size:,} bytes, too large for a 32×32 picture.")
    with archive.open(member) as file:
        pixels = images.read(file, name=f"{path}/{member.filename}")
    if pixels.shape != (32, 32, 3):
        raise DataError(f"{path}/{member.filename} has {pixels.shape[0]}×{pixels.shape[1]} pixels, expected 32×32.")
    return pixels


_ARCHIVE = DataFile(
    "cifar10", "cifar-10-binary.tar.gz", ("https://www.cs.toronto.edu/~kriz/",),
    partial(read_archive, sha256=_SHA256_OF_ARCHIVE),
)
_JPEG = tuple(
    DataFile("cifar10-jpeg", f"{part}.zip", (), partial(read_jpeg_zip, part=part)) for part in ("train", "test")
)
