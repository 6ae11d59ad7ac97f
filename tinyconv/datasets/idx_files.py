"""Datasets that come as MNIST does: four IDX files, of images and labels to train on and to test on."""

from functools import partial
from typing import Any

import numpy as np

from tinyconv.datasets import idx
from tinyconv.datasets.dataset import Split
from tinyconv.datasets.files import DataFile, load

Array = np.ndarray[Any, Any]

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def four_files(folder: str, mirrors: tuple[str, ...], sha256: tuple[str, str, str, str]) -> tuple[DataFile[Array], ...]:
    """The files in the order of `NAMES`; `sha256` are those of their decompressed contents."""
    return tuple(
        DataFile(folder, name, mirrors, partial(idx.read, sha256=digest))
        for name, digest in zip(NAMES, sha256, strict=True)
    )


def load_data(files: tuple[DataFile[Array], ...]) -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)), downloading what is missing."""
    x_train, y_train, x_test, y_test = (load(file) for file in files)
    return (x_train, y_train), (x_test, y_test)
