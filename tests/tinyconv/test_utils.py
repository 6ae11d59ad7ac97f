"""Keras's small helpers."""

import random

import numpy as np
import pytest

from tinyconv import utils
from tinyconv.errors import ArgumentError, DataError


def test_to_categorical_is_one_hot() -> None:
    result = utils.to_categorical([0, 2, 1, 2, 0])
    assert result.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert result.dtype == np.float32


def test_to_categorical_takes_what_keras_takes() -> None:
    assert utils.to_categorical(np.array([[1], [0]], np.uint8), 3).tolist() == [[0, 1, 0], [1, 0, 0]]  # a column
    assert utils.to_categorical([[0, 1], [1, 0]]).shape == (2, 2, 2)
    assert utils.to_categorical([1.0, 0.0]).tolist() == [[0, 1], [1, 0]]  # whole, as read from a table
    assert utils.to_categorical([], 4).shape == (0, 4)
    assert utils.to_categorical(2).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("labels", "classes", "sentence"),
    [
        ([0, -1], None, r"must lie in 0 … 0, .* got \[-1\]"),
        ([0, 3, 10], 10, r"must lie in 0 … 9, .* got \[10\]"),
        ([0.5, 1], None, r"whole numbers, but .* \[0.5, 1.0\]"),
        ([0.0, np.nan], None, "whole numbers"),
        ([0.0, np.inf], None, "whole numbers"),
        (["cat"], None, "whole numbers"),
        ([], None, "needs num_classes"),
    ],
)
def test_to_categorical_refuses_labels(labels: list[object], classes: int | None, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        utils.to_categorical(labels, classes)


def test_normalize() -> None:
    np.testing.assert_allclose(utils.normalize([[3, 4], [0, 0]]), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(utils.normalize([[3.0, 1.0], [1.0, 3.0]], axis=0, order=1), [[0.75, 0.25], [0.25, 0.75]])


def test_set_random_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "_default_seed", 0)
    utils.set_random_seed(7)
    first = utils.default_seed(), random.random(), np.random.rand()
    utils.set_random_seed(7)
    assert (utils.default_seed(), random.random(), np.random.rand()) == first
    assert first[0] == 7
    for seed in (-1, 2**32, 0.5):
        with pytest.raises(ArgumentError, match="seed"):
            utils.set_random_seed(seed)
    assert utils.default_seed() == 7


@pytest.mark.parametrize(("count", "sentence"), [(0, "at least 1"), (1.5, "whole number"), (100_000, "must be 1 to")])
def test_set_threads_refuses(count: object, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=f"threads .*{sentence}"):
        utils.set_threads(count)  # type: ignore[arg-type]  # as a user may
