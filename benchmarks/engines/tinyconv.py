"""tinyconv in its own process: the loop of `tinyconv.training.loop`, in pieces that can be timed."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from tinyconv import random
from tinyconv.models import Sequential
from tinyconv.training.data import Gatherer
from tinyconv.training.steps import GraphedSteps
from tinyconv.version import __version__

from ..machine import versions as packages
from .job import Array, Job, Passes, Steps
from .record import Trial


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"tinyconv": __version__, **packages(("numpy", "numba", "llvmlite", "cupy-cuda12x", "cupy-cuda13x"))}


class Training(Steps):
    """See `engines`; `backend` and `fuse` as for `Sequential`."""

    def __init__(self, *, backend: str = "numba", fuse: bool = True, warm: bool = True, **job: Any) -> None:
        given = Job(**job)
        self.batch = given.batch
        self.model = given.model(backend=backend, fuse=fuse)
        x, y = given.data(self.model.input_shape[1:])
        if self.model.backend.device.captures:
            self._graphs: GraphedSteps | None = GraphedSteps(self.model, x, y, self.batch, live=False)
            self._left, self._epochs, self._samples = 0, 0, len(x) - len(x) % self.batch  # all batches are full
        else:
            self._graphs = None
        self._images, self._labels = Gatherer(x, self.batch, x.dtype), Gatherer(y, self.batch, y.dtype)
        self._rows = _endless_rows(len(x), self.batch)
        if warm:
            self.warm_up()

    def steps(self, count: int) -> tuple[int, float, float]:
        if self._graphs is not None:
            return self._graphed(self._graphs, count)
        begin = perf_counter()
        for _ in range(count):
            rows = next(self._rows)
            room = self.model.plan.tape_input((self.batch, *self.model.input_shape[1:]))
            loss = self.model.train_on_batch(self._images.gather(rows, room), self._labels.gather(rows))[0]
        return count, perf_counter() - begin, loss


    def _graphed(self, graphs: GraphedSteps, count: int) -> tuple[int, float, float]:
        """As `fit` takes steps on a GPU: it is waited for, and the loss read, when the turn or an epoch is over."""
        begin = perf_counter()
        for _ in range(count):
            if not self._left:
                key = random.key(0, "shuffle", self._epochs)
                graphs.begin(self._epochs, random.permutation(key, self._samples))
                self._epochs, self._left = self._epochs + 1, self._samples // self.batch
            graphs.run(0)
            self._left -= 1
        loss = graphs.logs()["loss"]
        return count, perf_counter() - begin, loss


class Prediction(Passes):
    """See `engines`."""

    def __init__(self, *, chunks: list[int], backend: str = "numba", fuse: bool = True, **job: Any) -> None:
        given = Job(**job)
        self.model = given.model(backend=backend, fuse=fuse)
        self.x, _ = given.data(self.model.input_shape[1:])
        self.choose_chunk(chunks)

    def predict(self, chunk: int) -> Array:
        return self.model.predict(self.x, batch_size=chunk)


class Record(Trial):
    """See `engines`."""

    def __init__(self, *, backend: str = "numba", fuse: bool = True, **trial: Any) -> None:
        self._backend, self._fuse = backend, fuse
        super().__init__(**trial)

    def get_ready(self) -> None:
        model = self._model(seed=0)
        some = 2 * self.recipe.batch_size
        model.fit(self.x[:some], self.y[:some], batch_size=self.recipe.batch_size, verbose=0)
        model.predict(self.x_test[:some])

    def train(self, seed: int) -> tuple[float, float]:
        model = self._model(seed)
        begin = perf_counter()
        model.fit(self.x, self.y, batch_size=self.recipe.batch_size, epochs=self.recipe.epochs, verbose=0)
        seconds = perf_counter() - begin
        return seconds, float(np.mean(model.predict(self.x_test).argmax(axis=1) == self.y_test))

    def _model(self, seed: int) -> Sequential:
        return self.recipe.model(self.image_shape, seed=seed, backend=self._backend, fuse=self._fuse)


def _endless_rows(samples: int, batch: int) -> Iterator[Array]:
    """Rows of one batch after the other, all full, in a new order each epoch."""
    epoch = 0
    while True:
        order = random.permutation(random.key(0, "shuffle", epoch), samples)
        for start in range(0, samples - batch + 1, batch):
            yield order[start : start + batch]
        epoch += 1
