"""Class numbers from whatever says them: integers, one-hot rows, or probabilities."""

from typing import Any

import numpy as np

from tinyconv.checks import host_array

Array = np.ndarray[Any, Any]


def as_classes(labels: Array) -> Array:
    """Class numbers (n,), int64.

    From class numbers (n,) or (n, 1); from one-hot or probability rows (n, k), the place of the largest; from floats
    (n,) or (n, 1), probabilities of class 1, whether they are at least one half.

    >>> as_classes(np.array([[0.1, 0.9], [0.8, 0.2]])), as_classes(np.array([[0.2], [0.7]]))
    (array([1, 0]), array([0, 1]))
    """
    labels = host_array(labels, "y")
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    elif labels.dtype.kind == "f":
        labels = labels >= 0.5
    return labels.reshape(-1).astype(np.int64, copy=False)
