"""What must hold for any input: linearity, shift equivariance, adjointness, sums that are preserved.

Each property is checked on NumPy and on Numba, with shapes and numbers that hypothesis draws.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyconv import backends, random
from tinyconv.kernels.geometry import output_sizes
from tinyconv.losses import CategoricalCrossentropy

quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    return backends.get(request.param)


@st.composite
def convolutions(draw):
    """(x, w, and a dictionary of windows): a convolution that fits."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    n, c, f = draw(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)))
    smallest = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    height, width = (least + draw(st.integers(0, 4)) for least in smallest)
    rng = np.random.default_rng(draw(seeds))
    windows = {"strides": strides, "padding": (pads[:2], pads[2:]), "dilation": dilation}
    return rng.normal(size=(n, height, width, c)), rng.normal(size=(*kernel, c, f)), windows


@st.composite
def pools(draw):
    """(x, pool_size, and a dictionary of windows): a pooling whose padding is less than its window."""
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in size)
    height, width = (k + draw(st.integers(0, 4)) for k in size)
    shape = (draw(st.integers(1, 2)), height, width, draw(st.integers(1, 3)))
    rng = np.random.default_rng(draw(seeds))
    x = rng.integers(-2, 3, shape).astype(np.float64)  # few different values: many ties
    return x, size, {"strides": strides, "padding": pads}


@quick
@given(convolutions(), seeds)
def test_convolution_is_linear_in_images_and_in_weights(backend, case, seed):
    x, w, windows = case
    rng = np.random.default_rng(seed)
    x2, w2, a = rng.normal(size=x.shape), rng.normal(size=w.shape), rng.normal()

    def conv(x, w):
        return backend.conv2d.forward(x, w, **windows).copy()

    np.testing.assert_allclose(conv(a * x + x2, w), a * conv(x, w) + conv(x2, w), atol=1e-10)
    np.testing.assert_allclose(conv(x, a * w + w2), a * conv(x, w) + conv(x, w2), atol=1e-10)


@quick
@given(convolutions(), seeds)
def test_both_backward_passes_are_adjoint_to_the_convolution(backend, case, seed):
    """⟨conv(x, w), dy⟩ = ⟨x, backward_input(dy, w)⟩ = ⟨w, backward_weights(x, dy)⟩."""
    x, w, windows = case
    y = backend.conv2d.forward(x, w, **windows)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    dx = backend.conv2d.backward_input(dy, w, x.shape, **windows)
    dw, db = backend.conv2d.backward_weights(x, dy, w.shape, **windows)
    scale = np.linalg.norm(y) * np.linalg.norm(dy) + 1
    assert abs(np.vdot(y, dy) - np.vdot(x, dx)) <= 1e-12 * scale
    assert abs(np.vdot(y, dy) - np.vdot(w, dw)) <= 1e-12 * scale
    np.testing.assert_allclose(db, dy.sum(axis=(0, 1, 2)), atol=1e-12)


@quick
@given(seeds, st.integers(0, 3), st.integers(0, 3))
def test_convolution_of_a_shifted_image_is_the_shifted_convolution(backend, seed, down, right):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(3, 2, 2, 3))
    image = np.zeros((1, 12, 11, 2))
    image[:, 2:7, 3:7] = rng.normal(size=(1, 5, 4, 2))
    shifted = np.roll(image, (down, right), axis=(1, 2))
    y = backend.conv2d.forward(image, w).copy()
    np.testing.assert_allclose(backend.conv2d.forward(shifted, w), np.roll(y, (down, right), axis=(1, 2)), atol=1e-12)


@quick
@given(st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)), seeds)
def test_dense_passes_are_adjoint(backend, sizes, seed):
    n, features, units = sizes
    rng = np.random.default_rng(seed)
    x, w, dy = rng.normal(size=(n, features)), rng.normal(size=(features, units)), rng.normal(size=(n, units))
    product = np.vdot(backend.dense.forward(x, w), dy)
    np.testing.assert_allclose(product, np.vdot(x, backend.dense.backward_input(dy, w)), atol=1e-10)
    np.testing.assert_allclose(product, np.vdot(w, backend.dense.backward_weights(x, dy)[0]), atol=1e-10)


@quick
@given(pools(), seeds)
def test_max_pooling_gives_away_all_of_the_gradient_and_only_to_maxima(backend, case, seed):
    x, size, windows = case
    y, winners = backend.maxpool2d.forward(x, size, **windows)
    assert y.shape[1:3] == output_sizes(x.shape[1:3], size, windows["strides"], windows["padding"])
    dy = np.random.default_rng(seed).integers(1, 9, y.shape).astype(np.float64)
    dx = backend.maxpool2d.backward(dy, winners, x.shape, size, **windows)
    np.testing.assert_array_equal(dx.sum(axis=(1, 2)), dy.sum(axis=(1, 2)))  # whole numbers: exactly
    assert np.count_nonzero(dx) <= y.size
    assert np.vdot(x, dx) == np.vdot(y, dy)  # the gradient went to pixels that have the maximum's value


@quick
@given(pools(), seeds, st.floats(-4, 4))
def test_max_pooling_commutes_with_what_keeps_the_order(backend, case, seed, shift):
    x, size, windows = case
    y, winners = backend.maxpool2d.forward(x, size, **windows)
    y, winners = y.copy(), winners.copy()
    y2, winners2 = backend.maxpool2d.forward(2 * x + shift, size, **windows)
    np.testing.assert_array_equal(y2, 2 * y + shift)
    np.testing.assert_array_equal(winners2, winners)


@quick
@given(pools(), seeds)
def test_average_pooling_keeps_constants_and_passes_are_adjoint(backend, case, seed):
    x, size, windows = case
    np.testing.assert_allclose(backend.avgpool2d.forward(np.full_like(x, 3.7), size, **windows), 3.7, rtol=1e-14)
    y = backend.avgpool2d.forward(x, size, **windows)
    dy = np.random.default_rng(seed).normal(size=y.shape)
    dx = backend.avgpool2d.backward(dy, x.shape, size, **windows)
    np.testing.assert_allclose(np.vdot(y, dy), np.vdot(x, dx), atol=1e-10)
    np.testing.assert_allclose(dx.sum(), dy.sum(), atol=1e-10)


@quick
@given(seeds, st.floats(0, 300), st.floats(-1e4, 1e4))
def test_softmax_rows_add_up_to_one_and_ignore_a_shift(backend, seed, spread, shift):
    z = spread * np.random.default_rng(seed).normal(size=(4, 6))
    p = backend.softmax.forward(z).copy()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-13)
    np.testing.assert_allclose(backend.softmax.forward(z + shift), p, atol=1e-9)


@quick
@given(seeds, st.floats(0, 100))
def test_cross_entropy_from_logits_is_that_of_the_softmax(backend, seed, spread):
    rng = np.random.default_rng(seed)
    z, labels = spread / 10 * rng.uniform(-1, 1, (5, 4)), rng.integers(0, 4, 5)
    losses, dz = backend.softmax_cross_entropy.loss_and_gradient(z, labels, scale=0.2)
    np.testing.assert_allclose(dz.sum(axis=1), 0, atol=1e-15)
    p = backends.get("numpy").softmax.forward(z)
    np.testing.assert_allclose(losses, -np.log(p[np.arange(5), labels]), rtol=1e-10, atol=1e-12)
    probable = p > 1e-6  # the loss of probabilities clips beyond that
    if probable.all():
        np.testing.assert_allclose(losses.mean(), CategoricalCrossentropy()(labels, p)[0], rtol=1e-10)


@quick
@given(seeds, st.floats(0.05, 0.9))
def test_dropout_preserves_the_mean_and_masks_the_gradient_alike(backend, seed, rate):
    key = random.key(seed, "dropout/test", 3)
    x = np.ones((40, 500))
    y = backend.dropout.forward(x, rate, key).copy()
    scaled = 1 / (1 - rate)
    assert set(np.unique(y)) <= {0.0, np.unique(y)[-1]}
    np.testing.assert_allclose(np.unique(y)[-1], scaled, rtol=1e-12)
    standard_error = np.sqrt(rate / (1 - rate) / x.size)
    assert abs(y.mean() - 1) < 6 * standard_error
    np.testing.assert_array_equal(backend.dropout.backward(x, rate, key), y)


@quick
@given(seeds, st.floats(-50, 50), st.floats(0.1, 30))
def test_batch_normalization_standardises(backend, seed, mean, spread):
    x = mean + spread * np.random.default_rng(seed).normal(size=(3, 4, 5, 2))
    gamma, beta = np.array([1.0, 3.0]), np.array([0.0, -2.0])
    y, batch_mean, variance = backend.batchnorm.forward_training(x, gamma, beta, 1e-12)
    np.testing.assert_allclose(batch_mean, x.mean(axis=(0, 1, 2)), atol=1e-10)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), beta, atol=1e-8)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), gamma, rtol=1e-8)


@quick
@given(seeds)
def test_batch_normalization_has_no_gradient_along_shift_and_scale(backend, seed):
    """Its output does not change when all images get brighter or have more contrast: dx is orthogonal to 1 and to x."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(3, 4, 5, 2)), rng.normal(size=(3, 4, 5, 2))
    gamma, beta = rng.normal(size=2), rng.normal(size=2)
    _, mean, variance = backend.batchnorm.forward_training(x, gamma, beta, 0.0)
    dx, _, _ = backend.batchnorm.backward(dy, x, gamma, mean, variance, 0.0)
    np.testing.assert_allclose(dx.sum(axis=(0, 1, 2)), 0, atol=1e-10)
    np.testing.assert_allclose((dx * x).sum(axis=(0, 1, 2)), 0, atol=1e-10)


@quick
@given(seeds, st.integers(0, 200))
def test_a_permutation_has_every_number_once(seed, size):
    order = random.permutation(random.key(seed, "shuffle", 1), size)
    np.testing.assert_array_equal(np.sort(order), np.arange(size))
