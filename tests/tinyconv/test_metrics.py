"""Metrics, by hand."""

import numpy as np
import pytest

from tinyconv import metrics
from tinyconv.errors import ArgumentError

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.4, 0.5, 0.1]])


@pytest.mark.parametrize("labels", [[0, 2, 2, 1], [[0], [2], [2], [1]], np.eye(3)[[0, 2, 2, 1]]])
def test_accuracy_of_labels_in_every_form(labels):
    assert metrics.accuracy(labels, PROBABILITIES) == 0.75


@pytest.mark.parametrize("labels", [[1, 0, 0], [[1], [0], [0]], np.array([1, 0, 0], np.uint8)])
def test_accuracy_of_one_probability(labels):
    assert metrics.accuracy(labels, np.array([[0.51], [0.5], [0.9]])) == pytest.approx(2 / 3)


def test_binary_accuracy_counts_outputs():
    assert metrics.binary_accuracy([[1, 0], [1, 1]], np.array([[0.9, 0.1], [0.2, 0.8]])) == 0.75


def test_mean_absolute_error():
    assert metrics.mean_absolute_error([1, 5], np.array([[2.0], [2.0]])) == 2


def test_by_name_function_or_itself():
    assert metrics.get("acc").name == "acc"
    assert metrics.get("acc")([1], np.array([[0.0, 1.0]])) == 1

    def always(y_true, y_pred):
        return 1.0

    mine = metrics.get(always)
    assert (mine.name, mine(None, None)) == ("always", 1.0)
    assert metrics.get(lambda y_true, y_pred: np.array([1, 2]))(None, None) == 1.5  # one per example, as Keras has it
    assert metrics.get(mine) is mine
    assert metrics.serialize(metrics.get("accuracy")) == "accuracy"
    with pytest.raises(ArgumentError, match="always is a function of your own"):
        metrics.serialize(mine)
    with pytest.raises(ArgumentError, match=r"no metric 'accurracy'. Did you mean 'accuracy'"):
        metrics.get("accurracy")
