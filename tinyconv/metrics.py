"""Metrics: numbers for people, averaged over a batch; training does not follow them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.naming import suggestion

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Metric:
    """A function (y_true, y_pred) → one number, or one per example, and the name under which a History keeps it."""

    name: str
    function: Callable[[Any, Array], float]

    def __call__(self, y_true: Any, y_pred: Array) -> float:
        """Return the metric's mean over the batch."""
        value = self.function(y_true, y_pred)
        return float(value if isinstance(value, float) else np.mean(value))


def accuracy(y_true: Any, y_pred: Array) -> float:
    """The share of right predictions, in [0, 1].

    For predictions (n, classes), the class with the highest one counts, and labels are whole numbers (n,) or (n, 1), or
    one-hot (n, classes).  For predictions (n, 1), probabilities above 0.5 mean class 1.

    >>> accuracy([0, 1, 1], np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])) == 2 / 3
    True
    """
    if y_pred.shape[-1] == 1:
        return binary_accuracy(y_true, y_pred)
    labels = np.asarray(y_true)
    labels = labels.argmax(axis=-1) if labels.shape == y_pred.shape else labels.reshape(y_pred.shape[:-1])
    return int(np.count_nonzero(y_pred.argmax(axis=-1) == labels)) / labels.size


def binary_accuracy(y_true: Any, y_pred: Array) -> float:
    """The share of outputs on the right side of 0.5, for probabilities (n, outputs) and labels 0 or 1.

    >>> binary_accuracy([1, 0], np.array([[0.7], [0.6]]))
    0.5
    """
    return int(np.count_nonzero((y_pred > 0.5) == (np.asarray(y_true).reshape(y_pred.shape) > 0.5))) / y_pred.size


def mean_absolute_error(y_true: Any, y_pred: Array) -> float:
    """The mean of |y - t|."""
    return float(np.mean(np.abs(y_pred - np.asarray(y_true).reshape(y_pred.shape))))


FUNCTIONS: dict[str, Callable[[Any, Array], float]] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "categorical_accuracy": accuracy,
    "sparse_categorical_accuracy": accuracy,
    "binary_accuracy": binary_accuracy,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
}


def get(identifier: str | Metric | Callable[[Any, Array], float]) -> Metric:
    """Return the metric that is meant: by name (which it keeps), a function (y_true, y_pred) → float, or one itself.

    Raises ArgumentError when there is none of that name.
    """
    if isinstance(identifier, Metric):
        return identifier
    if callable(identifier):
        return Metric(getattr(identifier, "__name__", type(identifier).__name__), identifier)
    if not isinstance(identifier, str) or identifier not in FUNCTIONS:
        raise ArgumentError(f"There is no metric {identifier!r}. {suggestion(str(identifier), FUNCTIONS)}")
    return Metric(identifier, FUNCTIONS[identifier])


def serialize(metric: Metric) -> str:
    """Return the name that `get` understands; raises ArgumentError for a function of one's own."""
    if FUNCTIONS.get(metric.name) is not metric.function:
        raise ArgumentError(f"The metric {metric.name} is a function of your own, which cannot be saved.")
    return metric.name
