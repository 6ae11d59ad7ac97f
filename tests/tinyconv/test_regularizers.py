"""Regularizers: penalties and gradients by hand and by central differences."""

import json

import numpy as np
import pytest

from tinyconv import regularizers
from tinyconv.errors import ArgumentError
from tinyconv.pieces import PIECE, sum_of_squares

W = np.array([[1.0, -2.0], [3.0, 0.0]])  # Σ|w| = 6, Σw² = 14


@pytest.mark.parametrize(
    ("regularizer", "penalty", "gradient"),
    [
        (regularizers.L1(0.5), 3.0, [[0.5, -0.5], [0.5, 0.0]]),
        (regularizers.L2(0.5), 7.0, [[1.0, -2.0], [3.0, 0.0]]),
        (regularizers.L1L2(l1=1.0, l2=0.5), 13.0, [[2.0, -3.0], [4.0, 0.0]]),
        (regularizers.L1L2(), 0.0, [[0.0, 0.0], [0.0, 0.0]]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(regularizer, penalty, gradient, dtype):
    assert regularizer.penalty(W.astype(dtype)) == penalty
    dw = np.ones((2, 2), dtype)
    regularizer.add_gradient(W.astype(dtype), dw)
    np.testing.assert_array_equal(dw, np.array(gradient) + 1)
    assert dw.dtype == dtype


def test_the_gradient_is_that_of_the_penalty():
    w = np.random.default_rng(0).standard_normal((3, 4, 2)) + 0.01
    regularizer, h = regularizers.L1L2(0.3, 0.7), 1e-5
    dw = np.zeros_like(w)
    regularizer.add_gradient(w, dw)
    for place in np.ndindex(w.shape):
        bump = np.zeros_like(w)
        bump[place] = h
        numeric = (regularizer.penalty(w + bump) - regularizer.penalty(w - bump)) / (2 * h)
        assert dw[place] == pytest.approx(numeric, rel=1e-7)


def test_weights_of_many_pieces():
    w = np.random.default_rng(0).standard_normal((3, PIECE)).astype(np.float32)[:, 1:]  # not contiguous either
    assert sum_of_squares(w) == pytest.approx(np.square(w, dtype=np.float64).sum(), rel=1e-12)
    dw = np.zeros(w.shape, np.float32)
    regularizers.L2(0.5).add_gradient(w, dw)
    np.testing.assert_array_equal(dw, w)
    with pytest.raises(ValueError, match="contiguous"):
        regularizers.L2(0.5).add_gradient(w, np.zeros((PIECE - 1, 3), np.float32).T)


def test_names_and_configurations():
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None
    assert regularizers.get("l2").get_config() == {"l2": 0.01}
    for one in (regularizers.L1(0.2), regularizers.L2(0.3), regularizers.L1L2(0.1, 0.4)):
        again = regularizers.get(json.loads(json.dumps(regularizers.serialize(one))))
        assert type(again) is type(one)
        assert vars(again) == vars(one)
        assert regularizers.get(one) is one
    assert type(regularizers.get("L1L2")) is regularizers.L1L2
    with pytest.raises(ArgumentError, match="There are: l1, l1_l2, l2"):
        regularizers.get("ridge")
    for wrong in (-0.1, float("inf"), "a"):
        with pytest.raises(ArgumentError, match="l2 must be"):
            regularizers.L2(wrong)
