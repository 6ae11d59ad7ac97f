"""What a contestant is to do, the same for all: a network, images, labels, and how a turn is timed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from tinyconv import zoo
from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]

MEMORY = 64 * 2**20  # bytes of images: more than most caches, so that batches come from main memory as in real training


@dataclass(frozen=True)
class Job:
    """A network of the zoo with its batch size, unless others are given.

    Attributes:
        network: a name of the zoo.
        batch_size: images per step.
        image_size: of square images.
        samples: how many images there are; None for `MEMORY` bytes of them.
    """

    network: str
    batch_size: int | None = None
    image_size: int | None = None
    samples: int | None = None

    @property
    def batch(self) -> int:
        return self.batch_size or zoo.entry(self.network).batch_size

    def model(self, *, backend: str = "numpy", fuse: bool = True) -> Sequential:
        """The network with its initial weights, compiled with Adam and no metrics: what every contestant trains.

        Peers take layers and weights from it, on the numpy backend, which loads nothing but NumPy.
        """
        entry = zoo.entry(self.network)
        height, width, channels = entry.input_shape
        if self.image_size is not None:
            height = width = self.image_size
        model = zoo.build(self.network, input_shape=(height, width, channels), backend=backend, fuse=fuse)
        loss = "binary_crossentropy" if entry.classes == 2 else "sparse_categorical_crossentropy"
        model.compile("adam", loss)
        return model

    def data(self, input_shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Random images (n, height, width, channels) float32 in [0, 1) and class numbers (n,) int64."""
        bytes_each = 4 * int(np.prod(input_shape))
        samples = self.samples or max(4 * self.batch, MEMORY // bytes_each)
        rng = np.random.default_rng(0)
        classes = zoo.entry(self.network).classes
        return rng.random((samples, *input_shape), np.float32), rng.integers(0, classes, samples)


class Steps(ABC):
    """Training in turns of about the same time."""

    batch: int
    _seconds: float = 0.0  # of one step, as far as known

    @abstractmethod
    def steps(self, count: int) -> tuple[int, float, float]:
        """Take about `count` steps, each with its own batch, forward, backward, update and the loss read as a number.

        Returns how many were timed, the seconds they took, and the last loss.
        """

    def warm_up(self) -> None:
        """Compile, fill caches and learn how long a step takes: once for what is done once, once for the rest."""
        self.turn(0)
        self.turn(0)
        self.turn(4 * self._seconds)

    def turn(self, seconds: float) -> dict[str, float]:
        """Train for about `seconds`, at least one step: samples per second, and the last loss."""
        count = max(1, round(seconds / self._seconds)) if self._seconds else 1
        timed, elapsed, loss = self.steps(count)
        self._seconds = elapsed / timed
        if not np.isfinite(loss):
            raise ArithmeticError(f"the loss became {loss}")
        return {"samples_per_second": timed * self.batch / elapsed, "loss": loss}


class Passes(ABC):
    """Prediction of a whole set of images, in chunks of the size that is fastest for this contestant."""

    chunk: int

    @abstractmethod
    def predict(self, chunk: int) -> Array:
        """Return the probabilities of all images, worked out `chunk` at a time."""

    def choose_chunk(self, candidates: list[int]) -> int:
        """Try all chunk sizes, the first pass of each not timed, and keep the fastest."""
        seconds = {}
        for chunk in candidates:
            self.predict(chunk)
            begin = perf_counter()
            self.predict(chunk)
            seconds[chunk] = perf_counter() - begin
        self.chunk = min(seconds, key=lambda chunk: seconds[chunk])
        return self.chunk

    def turn(self) -> dict[str, float]:
        """Predict all images once: samples per second."""
        begin = perf_counter()
        probabilities = self.predict(self.chunk)
        elapsed = perf_counter() - begin
        return {"samples_per_second": len(probabilities) / elapsed, "chunk": self.chunk}
