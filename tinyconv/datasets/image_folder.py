"""Any folder of pictures as a dataset: one sub-folder per class.

    flowers/daisy/1.jpg …         the classes are the sub-folders' names, sorted
    flowers/tulip/1.png …

A folder with exactly `train` and `test` (or `validation`, or `val`), each of which has the classes, is split as it is.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path

import numpy as np

from tinyconv import random
from tinyconv.checks import number
from tinyconv.datasets import images, progress
from tinyconv.datasets.dataset import Dataset, Split
from tinyconv.datasets.images import ColorMode
from tinyconv.errors import DataError

_HELD_OUT_NAMES = ("test", "validation", "val")


def load(
    directory: str | PathLike[str], *, image_size: tuple[int, int] = (64, 64), color_mode: ColorMode = "rgb",
    validation_split: float = 0.25, seed: int = 0,
) -> Dataset:
    """Return the pictures of a folder as a Dataset; its test images are those held out.

    Arguments:
        image_size: (height, width) to which every picture is stretched.
        color_mode: "rgb" or "grayscale".
        validation_split: the share of each class that is held out, at least one picture of a class that has two; not
            used for a folder that is split into `train` and `test` already.
        seed: which pictures are held out, and the order of all.

    Raises DataError for a folder that is missing, has no classes, has a class without pictures, or has a picture that
    cannot be read, which it names.
    """
    directory = Path(directory)
    share = number(validation_split, "validation_split", minimum=0, below=1)
    halves = _halves(directory)
    if halves is None:
        class_names = _class_names(directory)
        train, held_out = [], []
        for label, paths in enumerate(_list(directory, class_names)):
            order = random.permutation(random.key(seed, f"split/{class_names[label]}"), len(paths))
            count = max(1, round(share * len(paths))) if share > 0 and len(paths) > 1 else 0
            held_out += [(paths[place], label) for place in order[:count]]
            train += [(paths[place], label) for place in order[count:]]
    else:
        class_names = _class_names(halves[0])
        if _class_names(halves[1]) != class_names:
            raise DataError(
                f"{halves[0]} has the classes {', '.join(class_names)}, but {halves[1]} has "
                f"{', '.join(_class_names(halves[1]))}. They must be the same."
            )
        train, held_out = (
            [(path, label) for label, paths in enumerate(_list(half, class_names)) for path in paths] for half in halves
        )
    x_train, y_train = _decode(_shuffled(train, seed, "train"), image_size, color_mode)
    x_test, y_test = _decode(_shuffled(held_out, seed, "test"), image_size, color_mode)
    return Dataset(directory.name, x_train, y_train, x_test, y_test, class_names, str(directory))


def _halves(directory: Path) -> tuple[Path, Path] | None:
    """The folders to train on and to test on, if the directory is split that way."""
    names = set(_class_names(directory))
    for name in _HELD_OUT_NAMES:
        if names == {"train", name}:
            return directory / "train", directory / name
    return None


def _class_names(directory: Path) -> tuple[str, ...]:
    """The names of the sub-folders, sorted; hidden ones do not count."""
    if not directory.is_dir():
        raise DataError(f"There is no image folder {directory}.")
    names = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(
            f"{directory} has no classes: it should have one sub-folder per class, with that class's pictures in it."
        )
    return tuple(names)


def _list(directory: Path, class_names: Sequence[str]) -> list[list[Path]]:
    """The pictures of each class, sorted by name."""
    lists = []
    for name in class_names:
        paths = sorted(
            entry for entry in (directory / name).iterdir()
            if entry.suffix.lower() in images.SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        )
        if not paths:
            raise DataError(
                f"{directory / name} has no pictures, so the class {name!r} is empty: put some there "
                f"({', '.join(sorted(images.SUFFIXES))}), or remove the folder."
            )
        lists.append(paths)
    return lists


def _shuffled(pictures: list[tuple[Path, int]], seed: int, stream: str) -> list[tuple[Path, int]]:
    """The classes mixed, so that the last part of the training images, which Keras's `fit` holds out, has them all."""
    return [pictures[place] for place in random.permutation(random.key(seed, f"order/{stream}"), len(pictures))]


def _decode(pictures: list[tuple[Path, int]], image_size: tuple[int, int], color_mode: ColorMode) -> Split:
    """Return (images (n, h, w, c) uint8, labels (n,)); Pillow decodes outside of Python's lock, hence the threads."""
    height, width = images.check_size(image_size)
    shape = (len(pictures), height, width, 1 if color_mode == "grayscale" else 3)
    try:
        x = np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as problem:
        raise DataError(f"{len(pictures)} pictures of {height}×{width} pixels do not fit into memory.") from problem

    def read(place: int) -> None:
        x[place] = images.read(pictures[place][0], image_size=(height, width), color_mode=color_mode)

    with progress.bar("reading pictures", len(pictures)) as advance, ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(len(pictures))):
            advance(1)
    return x, np.array([label for _, label in pictures], np.int64)
