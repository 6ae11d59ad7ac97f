"""Batch normalisation: every rung against hand-computed numbers, the definition, PyTorch and central differences."""

from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.registry import RUNGS, implementation

SHAPES = [(1, 3), (5, 1), (4, 3, 2, 5), (7, 13, 11, 32), (2000, 17)]  # the last two are several chunks


@pytest.fixture(params=RUNGS["batchnorm"])
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return implementation("batchnorm", request.param)


def values(shape, dtype, seed=0):
    """(x, dy, gamma, beta), with a mean that is large against the spread."""
    random = np.random.default_rng(seed)
    x, dy = random.standard_normal((2, *shape))
    gamma, beta = random.standard_normal((2, shape[-1]))
    return tuple(array.astype(dtype) for array in (3 * x + 50, dy, gamma, beta))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(rung, dtype):
    x = np.array([[1, 0], [5, 0], [1, 6], [5, 6]], dtype)
    gamma, beta = np.array([2, 6], dtype), np.array([10, 0], dtype)
    y, mean, variance = rung.forward_training(x, gamma, beta, 0.0)
    np.testing.assert_array_equal(mean, [3, 3])
    np.testing.assert_array_equal(variance, [4, 9])
    np.testing.assert_array_equal(y, [[8, -6], [12, -6], [8, 6], [12, 6]])
    dy = np.array([[4, 1], [0, 0], [0, 0], [0, 0]], dtype)
    dx, dgamma, dbeta = rung.backward(dy, x, gamma, mean, variance, 0.0)
    np.testing.assert_array_equal(dbeta, [4, 1])
    np.testing.assert_array_equal(dgamma, [-4, -1])
    # gamma / deviation · (dy - dbeta / 4 - x̂ · dgamma / 4), with 1 and 2 in front and x̂ = ∓1
    np.testing.assert_array_equal(dx, [[2, 1], [0, -1], [-2, 0], [0, 0]])


def test_inference_by_hand(rung):
    y = rung.forward_inference(
        np.array([[5.0, 1]]), np.array([2.0, 3]), np.array([1.0, 1]), np.array([1.0, 1]), np.array([3.0, 8]), 1.0
    )
    np.testing.assert_array_equal(y, [[5, 1]])


def test_a_constant_channel(rung):
    x = np.full((6, 1), 0.1, np.float32)
    one = np.ones(1, np.float32)
    y, mean, variance = rung.forward_training(x, one, 5 * one, 1e-3)
    np.testing.assert_allclose(y, 5)
    assert variance.item() == pytest.approx(0, abs=1e-15)
    assert mean.item() == pytest.approx(0.1)


def test_special_values_stay_in_their_channel(rung):
    x, dy, gamma, beta = values((400, 64), np.float32)
    x[7, 3], x[390, 5] = np.nan, np.inf
    y, mean, variance = rung.forward_training(x, gamma, beta, 1e-3)
    bad = np.isin(np.arange(64), [3, 5])
    np.testing.assert_array_equal(np.isnan(y).any(axis=0), bad)
    np.testing.assert_array_equal(np.isnan(variance), bad)
    assert np.isnan(mean[3])
    assert mean[5] == np.inf
    dx, _, _ = rung.backward(dy, x, gamma, mean, variance, 1e-3)
    np.testing.assert_array_equal(np.isnan(dx).any(axis=0), bad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_definition(shape, dtype):
    x, dy, gamma, beta = values(shape, dtype)
    definition, tolerance = implementation("batchnorm", "definition"), 500 * np.finfo(dtype).eps
    y, mean, variance = definition.forward_training(x, gamma, beta, 1e-3)
    for rung in (implementation("batchnorm", name) for name in RUNGS["batchnorm"][1:]):
        results = [*rung.forward_training(x, gamma, beta, 1e-3), *rung.backward(dy, x, gamma, mean, variance, 1e-3)]
        expected = [y, mean, variance, *definition.backward(dy, x, gamma, mean, variance, 1e-3)]
        results.append(rung.forward_inference(x, gamma, beta, mean, variance, 1e-3))
        expected.append(definition.forward_inference(x, gamma, beta, mean, variance, 1e-3))
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
            assert result.dtype == dtype


def test_float32_moments_are_those_of_float64(rung):
    x, _, gamma, beta = values((20000, 3), np.float32)
    _, mean, variance = rung.forward_training(x + np.float32(1000), gamma, beta, 1e-3)
    exact = (x + np.float32(1000)).astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-6)


def test_equals_torch(rung):
    torch = pytest.importorskip("torch")
    x, dy, gamma, beta = values((4, 3, 2, 5), np.float64)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, gamma, beta)]
    images = tensors[0].permute(0, 3, 1, 2)
    expected = torch.nn.functional.batch_norm(images, None, None, tensors[1], tensors[2], training=True, eps=1e-3)
    expected.backward(torch.tensor(dy).permute(0, 3, 1, 2))
    y, mean, variance = rung.forward_training(x, gamma, beta, 1e-3)
    np.testing.assert_allclose(y, expected.detach().permute(0, 2, 3, 1).numpy(), rtol=1e-11, atol=1e-11)
    for result, tensor in zip(rung.backward(dy, x, gamma, mean, variance, 1e-3), tensors, strict=True):
        np.testing.assert_allclose(result, tensor.grad.numpy(), rtol=1e-10, atol=1e-11)


def test_any_memory_layout(rung, disguise):
    x, dy, gamma, beta = values((4, 3, 5), np.float64)
    y, mean, variance = rung.forward_training(x, gamma, beta, 1e-3)
    results = [
        rung.forward_training(disguise(x), disguise(gamma), disguise(beta), 1e-3)[0],
        *rung.backward(disguise(dy), disguise(x), disguise(gamma), disguise(mean), disguise(variance), 1e-3),
    ]
    for result, wanted in zip(results, [y, *rung.backward(dy, x, gamma, mean, variance, 1e-3)], strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-12, atol=1e-12)


def test_writes_into_out_and_parallel_allocates_nothing(rung, peak_bytes):
    x, dy, gamma, beta = values((7, 13, 11, 32), np.float32)
    fresh = rung.forward_training(x, gamma, beta, 1e-3)
    out = tuple(np.full_like(array, 9) for array in fresh)
    gradients = tuple(np.full_like(array, 9) for array in (x, gamma, beta))
    for result, given, wanted in zip(rung.forward_training(x, gamma, beta, 1e-3, out=out), out, fresh, strict=True):
        assert result is given
        np.testing.assert_array_equal(result, wanted)
    fresh = rung.backward(dy, x, gamma, *fresh[1:], 1e-3)
    results = rung.backward(dy, x, gamma, *out[1:], 1e-3, out=gradients)
    for result, given, wanted in zip(results, gradients, fresh, strict=True):
        assert result is given
        np.testing.assert_array_equal(result, wanted)
    if rung.__name__.endswith("parallel"):
        assert peak_bytes(lambda: rung.forward_training(x, gamma, beta, 1e-3, out=out)) < 8192 < x.nbytes
        assert peak_bytes(lambda: rung.backward(dy, x, gamma, *out[1:], 1e-3, out=gradients)) < 8192


def test_refuses_other_shapes(rung):
    x, dy, gamma, beta = values((4, 3), np.float32)
    with pytest.raises(ValueError, match="gamma has shape"):
        rung.forward_training(x, gamma[:2], beta, 1e-3)
    with pytest.raises(ValueError, match="dy has shape"):
        rung.backward(dy[:2], x, gamma, beta, beta, 1e-3)
