"""Small helpers, most with Keras's names: one-hot labels, rows of length one, the default seed, the threads."""

import random
from typing import Any

import numpy as np

from tinyconv.checks import whole_number
from tinyconv.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]

_default_seed = 0


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Return integer labels as one-hot rows (float32); labels (n,) or (n, 1) give (n, num_classes).

    `num_classes` is the largest label plus one unless given.  Raises DataError for labels that are negative, not whole
    numbers, or not below `num_classes`.

    >>> to_categorical([0, 2, 1]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    given = np.asarray(x)
    if given.size == 0 and num_classes is None:
        raise DataError("to_categorical got no labels, so it needs num_classes.")
    if given.dtype.kind not in "biuf" or not (np.isfinite(given) & (given == np.floor(given))).all():
        raise DataError(f"Labels must be whole numbers, but to_categorical got {_excerpt(given)}.")
    labels = given.astype(np.int64)
    classes = int(labels.max()) + 1 if num_classes is None else whole_number(num_classes, "num_classes", minimum=1)
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise DataError(f"Labels must lie in 0 … {classes - 1}, but to_categorical got {_excerpt(outside)}.")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    one_hot = np.zeros((labels.size, classes), np.float32)
    one_hot[np.arange(labels.size), labels.ravel()] = 1
    return one_hot.reshape(*labels.shape, classes)


def normalize(x: Any, axis: int = -1, order: int = 2) -> Array:
    """Return `x` divided by its `order`-norm along `axis`; a vector of zeros stays one.

    >>> normalize([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    values = np.atleast_1d(np.asarray(x, dtype=np.result_type(np.asarray(x).dtype, np.float32)))
    norms = np.atleast_1d(np.linalg.norm(values, order, axis, keepdims=True))
    norms[norms == 0] = 1
    result: Array = values / norms
    return result


def set_random_seed(seed: int) -> None:
    """Set the seed of models that are not given one, and of Python's and NumPy's global generators, as Keras does.

    Raises ArgumentError unless `seed` is a whole number in 0 … 2³² - 1.
    """
    global _default_seed
    seed = whole_number(seed, "seed")
    if seed >= 2**32:
        raise ArgumentError(f"seed must be below 2**32, but got {seed}.")
    _default_seed = seed
    random.seed(seed)
    np.random.seed(seed)


def default_seed() -> int:
    """The seed of models that are not given one: 0, or the last `set_random_seed`."""
    return _default_seed


def set_threads(count: int) -> None:
    """Compute with `count` threads from now on, in all Python threads, on the numba backend and in BLAS.

    Without this there is one for each core that this process may use.  Models that train at the same time, each in its
    own Python thread, are quickest when `count` times their number is the number of cores.  The numba backend computes
    the same bits with any number.  Raises ArgumentError for more threads than there are at first.
    """
    from tinyconv.kernels import threads

    count, most = whole_number(count, "threads", minimum=1), threads.maximum()
    if count > most:
        raise ArgumentError(f"threads must be 1 to {most}, the cores that this process may use, but got {count}.")
    threads.set_threads(count)


def readable(count: int) -> str:
    """A number of bytes for people.

    >>> readable(0), readable(2778726), readable(2**37)
    ('0 B', '2.65 MiB', '128.00 GiB')
    """
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 3)
    return f"{count / 1024**power:.2f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _excerpt(values: Array) -> str:
    """The first few values, for an error message."""
    return f"{values.ravel()[:5].tolist()}{' …' if values.size > 5 else ''} ({values.dtype})"
