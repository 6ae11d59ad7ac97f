"""A training that can be watched and steered: paused, resumed, ended between two steps.

It runs in the worker's thread.  After each step it lets the worker do what the pages have asked for in the meantime.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyconv.callbacks import Callback, Logs
from tinyconv.models import Sequential
from tinyconv.web import network
from tinyconv.web.network import Data
from tinyconv.web.worker import Worker

Array = np.ndarray[Any, Any]
Point = dict[str, float]  # epoch, and then loss and accuracy, or val_loss and val_accuracy

POINTS_PER_EPOCH = 12  # of the curves
SECONDS_BETWEEN_NEWS = 0.04
MISTAKES = 24  # shown at a time


class Ended(Exception):  # noqa: N818  # nothing went wrong
    """Raised inside of `fit` to leave it between two steps."""


class Curves:
    """What training has led to since the weights were random: the points of the curves, and the mistakes on the test.

    A mistake is (index of the test digit, what it was read as, the probability of that).
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.tests = 0  # taken so far
        self.wrong = 0
        self.mistakes: list[tuple[int, int, float]] = []

    def find_mistakes(self, probabilities: Array, labels: Array) -> None:
        """Note which test digits are read wrongly; the surest mistakes come first."""
        read = probabilities.argmax(axis=1)
        wrong = np.flatnonzero(read != labels)
        sure = probabilities[wrong, read[wrong]]
        order = np.argsort(-sure, kind="stable")[:MISTAKES]
        self.tests, self.wrong = self.tests + 1, len(wrong)
        self.mistakes = [(int(wrong[i]), int(read[wrong[i]]), float(sure[i])) for i in order]


class Training(Callback):
    """Trains epoch by epoch, and tells `step_taken` of every step, with True where the pages should hear of it.

    Attributes, which jobs that the worker does in between may change:
        paused, ended: wait before the next step; leave before it.
        epoch, epochs, step, steps: how far it is; it is over when `epoch` reaches `epochs`.
    """

    def __init__(
        self, worker: Worker, curves: Curves, data: Data, epoch: int, epochs: int, step_taken: Callable[[bool], None]
    ) -> None:
        self.paused = self.ended = False
        self.epoch, self.epochs, self.step = epoch, epochs, 0
        self.steps = -(-len(data.x_train) // network.BATCH_SIZE)
        self._worker, self._curves, self._data, self._step_taken = worker, curves, data, step_taken
        self._samples, self._sums, self._last_news = 0, np.zeros(2), 0.0

    def run_epoch(self, model: Sequential) -> None:
        """One epoch, then the test; raises Ended, or DivergedError with the weights back at the last good state."""
        data = self._data
        self._samples, self._sums = 0, np.zeros(2)
        model.fit(
            data.x_train, data.y_train, batch_size=network.BATCH_SIZE, epochs=self.epoch + 1, initial_epoch=self.epoch,
            validation_data=(data.x_test, data.y_test), callbacks=[self], verbose=0,
        )
        self._curves.find_mistakes(model.predict(data.x_test), data.y_test)
        self.epoch += 1

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Note a point of the curves now and then; let other jobs in; wait while paused."""
        self.step = batch + 1
        if self.step % max(1, self.steps // POINTS_PER_EPOCH) == 0:
            self._note(min(self.step * network.BATCH_SIZE, len(self._data.x_train)), logs)
        tell = time.monotonic() - self._last_news > SECONDS_BETWEEN_NEWS
        if tell:
            self._last_news = time.monotonic()
        self._step_taken(tell)
        self._worker.serve()
        while self.paused and not self.ended:
            self._worker.serve(wait=0.5)
        if self.ended:
            raise Ended

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Note what the test says."""
        self._curves.points.append(
            {"epoch": epoch + 1, "val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"]}
        )

    def _note(self, samples: int, logs: Logs) -> None:
        """The means over the samples since the last point; those in `logs` are over all `samples` of the epoch."""
        sums = samples * np.array([logs["loss"], logs["accuracy"]])
        loss, accuracy = (sums - self._sums) / (samples - self._samples)
        at = self.epoch + samples / len(self._data.x_train)
        self._curves.points.append({"epoch": at, "loss": float(loss), "accuracy": float(accuracy)})
        self._samples, self._sums = samples, sums
