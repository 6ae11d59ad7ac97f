"""What a dataset is: images and labels to train on, others to test on, and the names of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.naming import suggestion

Array = np.ndarray[Any, Any]
Split = tuple[Array, Array]  # images and labels


@dataclass(frozen=True)
class Dataset:
    """Images (n, height, width, channels) uint8, labels (n,) integers in 0 … len(class_names) - 1."""

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    class_names: tuple[str, ...]
    origin: str  # where the files were found, for people

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def select(self, class_names: Sequence[str]) -> "Dataset":
        """Only the images of the given classes, with labels 0, 1, … in the order given.

        Raises ArgumentError for a class that the dataset does not have, or for the same one twice.
        """
        for name in class_names:
            if name not in self.class_names:
                raise ArgumentError(f"{self.name} has no class {name!r}. {suggestion(name, self.class_names)}")
        if not class_names or len(set(class_names)) < len(class_names):
            raise ArgumentError(f"select wants one or more different classes, but got {list(class_names)}.")
        new_label = np.full(len(self.class_names), -1)
        new_label[[self.class_names.index(name) for name in class_names]] = range(len(class_names))
        x_train, y_train = _keep(self.x_train, new_label[self.y_train])
        x_test, y_test = _keep(self.x_test, new_label[self.y_test])
        return replace(
            self, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=tuple(class_names)
        )

    def resize(self, image_size: tuple[int, int]) -> "Dataset":
        """The same images, stretched to (height, width) by bilinear interpolation."""
        from tinyconv.datasets.images import resize

        return replace(self, x_train=resize(self.x_train, image_size), x_test=resize(self.x_test, image_size))


def from_splits(
    name: str, train: Split, test: Split, class_names: Sequence[str], origin: str
) -> Dataset:
    """A Dataset of what `load_data` returns: images without a channel axis get one."""
    (x_train, y_train), (x_test, y_test) = train, test
    if x_train.ndim == 3:
        x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    return Dataset(name, x_train, y_train.reshape(-1), x_test, y_test.reshape(-1), tuple(class_names), origin)


def _keep(x: Array, labels: Array) -> Split:
    """The images whose label is not -1, and those labels."""
    kept = labels >= 0
    return x[kept], labels[kept].astype(np.uint8)
