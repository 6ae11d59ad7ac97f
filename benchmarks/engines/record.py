"""What all contestants of time-to-accuracy share: prepared data, and one training after the other, timed and tested."""

from abc import ABC, abstractmethod
from time import perf_counter
from typing import Any

import numpy as np

from tinyconv import datasets

from ..recipes import Recipe

Array = np.ndarray[Any, Any]


class Trial(ABC):
    """A recipe on a dataset in memory.

    Arguments:
        recipe: of `Recipe`'s fields.
        data: the name of a dataset.
        limit: use only the first so many training images; None for all of them.
    """

    def __init__(self, *, recipe: dict[str, Any], data: str, limit: int | None = None) -> None:
        self.recipe = Recipe(**recipe)
        begin = perf_counter()
        loaded = datasets.load(data)
        self.image_shape = loaded.image_shape
        self.x = self._normalised(loaded.x_train[:limit])
        self.y = loaded.y_train[:limit].astype(np.int64)
        self.x_test, self.y_test = self._normalised(loaded.x_test), loaded.y_test.astype(np.int64)
        prepared = perf_counter()
        self.get_ready()
        self._times = {"data_seconds": prepared - begin, "warm_up_seconds": perf_counter() - prepared}

    def times(self) -> dict[str, float]:
        """Seconds that came before all trainings: to read and prepare the data, and to compile and warm up."""
        return self._times

    def turn(self, seed: int) -> dict[str, float]:
        """Train from the initial weights of `seed`: seconds from the first batch to the last update; test accuracy."""
        seconds, accuracy = self.train(seed)
        return {"seconds": seconds, "accuracy": accuracy}

    @abstractmethod
    def get_ready(self) -> None:
        """Compile and warm up, on a few batches."""

    @abstractmethod
    def train(self, seed: int) -> tuple[float, float]:
        """Return the seconds that a training took and, not part of them, how much of the test set it gets right."""

    def _normalised(self, images: Array) -> Array:
        """Bytes (n, height, width, channels) as float32, as the recipe wants them."""
        scaled = images.astype(np.float32)
        scaled *= 1 / (255 * self.recipe.deviation)
        scaled -= self.recipe.mean / self.recipe.deviation
        return scaled
