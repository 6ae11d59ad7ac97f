"""Losses: numbers by hand, gradients, labels in every accepted form, and sentences for the others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import backends, gradcheck, losses
from tinyconv.errors import ArgumentError, DataError, ShapeError
from tinyconv.layers import activations
from tinyconv.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

LABELS = np.array([2, 0])
ONE_HOT = np.array([[0, 0, 1], [1, 0, 0]])
SOFT = np.array([[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]])
RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(3), size=2)
LOGITS = 3 * RNG.normal(size=(2, 3))


def test_categorical_by_hand():
    p = np.array([[0.25, 0.25, 0.5], [0.125, 0.5, 0.375]])
    value, dy = CategoricalCrossentropy()(LABELS, p)
    assert value == pytest.approx((np.log(2) + np.log(8)) / 2)
    # -t / p of the right class, + 1 for the division by the sum; all of it over 2 examples
    assert_allclose(dy, [[0.5, 0.5, 0.5 - 1], [0.5 - 4, 0.5, 0.5]])


def test_the_lesson_s_example():
    p = np.array([[0.03, 0.03, 0.01, 0.9, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.0025]])
    assert CategoricalCrossentropy()(np.eye(10)[[3]], p)[0] == pytest.approx(0.10536, abs=5e-6)


def test_probabilities_are_divided_by_their_sum():
    loss = CategoricalCrossentropy()
    assert loss(LABELS, 5 * PROBABILITIES)[0] == pytest.approx(loss(LABELS, PROBABILITIES)[0])


def test_binary_by_hand():
    value, dy = BinaryCrossentropy()(np.array([1, 0]), np.array([[0.5], [0.75]]))
    assert value == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert_allclose(dy, [[-2 / 2], [4 / 2]])


def test_mean_squared_error_by_hand():
    value, dy = MeanSquaredError()([1.0, 2.0], np.array([[2.0], [5.0]]))
    assert value == 5
    assert_array_equal(dy, [[1], [3]])


CASES = [
    pytest.param(CategoricalCrossentropy(), LABELS, PROBABILITIES, id="labels"),
    pytest.param(CategoricalCrossentropy(), SOFT, PROBABILITIES, id="soft"),
    pytest.param(CategoricalCrossentropy(), SOFT, 2 * PROBABILITIES, id="unnormalised"),
    pytest.param(CategoricalCrossentropy(label_smoothing=0.1), LABELS, PROBABILITIES, id="smoothed"),
    pytest.param(CategoricalCrossentropy(from_logits=True), SOFT, LOGITS, id="logits"),
    pytest.param(CategoricalCrossentropy(True, 0.2), LABELS, LOGITS, id="smoothed-logits"),
    pytest.param(SparseCategoricalCrossentropy(from_logits=True), LABELS, LOGITS, id="sparse-logits"),
    pytest.param(BinaryCrossentropy(), SOFT, PROBABILITIES, id="binary"),
    pytest.param(BinaryCrossentropy(True, 0.3), ONE_HOT, LOGITS, id="binary-smoothed-logits"),
    pytest.param(MeanSquaredError(), SOFT, LOGITS, id="mean-squared-error"),
]


@pytest.mark.parametrize(("loss", "y_true", "y_pred"), CASES)
def test_gradients(loss, y_true, y_pred):
    gradcheck.check_loss(loss, y_true, y_pred).raise_if_wrong()


@pytest.mark.parametrize(("loss", "y_true", "y_pred"), CASES)
def test_dtype_and_shape(loss, y_true, y_pred):
    for dtype in (np.float32, np.float64):
        value, dy = loss(y_true, y_pred.astype(dtype))
        assert isinstance(value, float)
        assert (dy.dtype, dy.shape) == (dtype, y_pred.shape)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(), SparseCategoricalCrossentropy()])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_in_every_form_mean_the_same(loss, dtype):
    expected, gradient = CategoricalCrossentropy()(ONE_HOT.astype(float), PROBABILITIES)
    for form in (LABELS.astype(dtype), LABELS.astype(dtype)[:, None], ONE_HOT.astype(dtype), LABELS.tolist()):
        value, dy = loss(form, PROBABILITIES)
        assert value == pytest.approx(expected)
        assert_allclose(dy, gradient)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("cls", "activation", "y_true"),
    [
        (CategoricalCrossentropy, "softmax", LABELS),
        (CategoricalCrossentropy, "softmax", SOFT),
        (BinaryCrossentropy, "sigmoid", SOFT),
    ],
)
def test_from_logits_is_the_activation_and_the_loss(cls, activation, y_true, backend):
    function = activations.get(activation)
    y = function.forward(LOGITS)
    value, dy = cls()(y_true, y)
    fused_value, dlogits = cls().on_logits(y_true, LOGITS, backend=backends.get(backend))
    assert fused_value == pytest.approx(value, rel=1e-12)
    assert_allclose(dlogits, function.backward(dy, y), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("label", [0, 1])
def test_certain_and_wrong_is_finite(label):
    p = np.array([[1.0, 0.0]], np.float32)
    value, dy = CategoricalCrossentropy()([label], p)
    assert value == pytest.approx([0, -np.log(1e-7)][label], abs=1e-6)
    assert_array_equal(dy, [[0, 0]])  # nothing flows back from where the probability is held, as in Keras
    value, dy = BinaryCrossentropy()([label], np.array([[0.0]], np.float32))
    assert value == pytest.approx([0, -np.log(1e-7)][label], abs=1e-6)
    assert np.isfinite(dy).all()
    value, dy = CategoricalCrossentropy(from_logits=True)([label], np.array([[1000.0, -1000.0]], np.float32))
    assert value == [0, 2000][label]
    assert_array_equal(dy, [[[0, 0], [1, -1]][label]])


@pytest.mark.parametrize(
    ("loss", "y_true", "sentence"),
    [
        ("categorical_crossentropy", [0, 3], r"must lie in 0 … 2, .* label 1 is 3"),
        ("categorical_crossentropy", [-1, 0], r"label 0 is -1"),
        ("sparse_categorical_crossentropy", [0.0, 1.0], "whole numbers 0 … 2, but got an array of float64"),
        ("categorical_crossentropy", [0, 1, 2], "one label, but got 3 for 2 examples"),
        ("categorical_crossentropy", np.zeros((2, 4), int), r"one-hot rows of shape \(2, 3\)"),
        ("categorical_crossentropy", np.zeros((2, 3)), "add up to 1"),
        ("categorical_crossentropy", np.full((2, 3), np.nan), "add up to 1"),
        ("categorical_crossentropy", ["cat", "dog"], "whole numbers"),
        ("categorical_crossentropy", 3, "got one for 2 examples"),
        ("binary_crossentropy", np.full((2, 3), 2.0), r"must lie in \[0, 1\], but got 2.0"),
        ("binary_crossentropy", np.full((2, 3), np.nan), r"must lie in \[0, 1\]"),
        ("binary_crossentropy", np.zeros((2, 2)), r"the predictions' shape \(2, 3\), but got shape \(2, 2\)"),
        ("mse", [["a"] * 3] * 2, "Targets must be numbers"),
    ],
)
def test_labels_that_do_not_fit(loss, y_true, sentence):
    with pytest.raises(DataError, match=sentence):
        losses.get(loss)(y_true, PROBABILITIES)


def test_predictions_that_make_no_sense():
    with pytest.raises(ShapeError, match=r"needs predictions \(batch, classes\)"):
        CategoricalCrossentropy()([1], np.ones((1, 2, 2, 3)))


def test_by_name_and_back():
    for name in losses.CLASSES:
        loss = losses.get(name)
        assert type(losses.get(losses.serialize(loss))) is type(loss)
    assert losses.get(losses.serialize(CategoricalCrossentropy(True, 0.25))).label_smoothing == 0.25
    with pytest.raises(ArgumentError, match="Did you mean 'categorical_crossentropy'"):
        losses.get("categorical_crosentropy")
    with pytest.raises(ArgumentError, match="label_smoothing"):
        CategoricalCrossentropy(label_smoothing=2)
