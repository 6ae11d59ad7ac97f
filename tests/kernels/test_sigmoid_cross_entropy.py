"""Sigmoid with binary cross-entropy: every rung against hand-computed numbers, the definition and PyTorch."""

from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.registry import RUNGS, implementation


@pytest.fixture(params=RUNGS["sigmoid_cross_entropy"])
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return implementation("sigmoid_cross_entropy", request.param)


def test_by_hand(rung):
    logits = np.array([[0, np.log(3)], [-np.log(3), 0]])  # probabilities 1/2 3/4 and 1/4 1/2
    losses, dlogits = rung.loss_and_gradient(logits, np.array([[1.0, 1], [1, 0]]), scale=2.0)
    np.testing.assert_allclose(losses, np.log([8 / 3, 8]) / 2, rtol=1e-14)
    np.testing.assert_allclose(dlogits, [[-1 / 2, -1 / 4], [-3 / 4, 1 / 2]], rtol=1e-14)


def test_extreme_logits(rung):
    logits = np.array([[1e4], [-1e4], [1e4], [3e38], [np.nan]], np.float32)
    losses, dlogits = rung.loss_and_gradient(logits, np.array([[1], [0], [0], [1], [1]], np.float32))
    np.testing.assert_array_equal(losses, np.array([0, 0, 1e4, 0, np.nan], np.float32))
    np.testing.assert_array_equal(dlogits[:, 0], [0, 0, 1, 0, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (64, 1), (7, 10), (3, 5000)])
def test_equals_the_definition(dtype, n, k):
    random, eps = np.random.default_rng(0), np.finfo(dtype).eps
    logits, targets = (5 * random.standard_normal((n, k))).astype(dtype), random.random((n, k)).astype(dtype)
    definition = implementation("sigmoid_cross_entropy", "definition")
    for rung in (implementation("sigmoid_cross_entropy", name) for name in RUNGS["sigmoid_cross_entropy"][1:]):
        for t in (targets, (targets > 0.5).astype(np.uint8)):
            results = rung.loss_and_gradient(logits, t, scale=0.25)
            expected = definition.loss_and_gradient(logits, t, scale=0.25)
            for result, wanted in zip(results, expected, strict=True):
                np.testing.assert_allclose(result, wanted, rtol=100 * eps, atol=20 * eps)
                assert result.dtype == dtype


def test_equals_torch(rung):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    z, targets = random.standard_normal((6, 3)), random.random((6, 3))
    tensor = torch.tensor(z, requires_grad=True)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(tensor, torch.tensor(targets), reduction="none")
    expected.mean().backward()
    losses, dlogits = rung.loss_and_gradient(z, targets, scale=1 / 6)
    np.testing.assert_allclose(losses, expected.detach().numpy().mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(dlogits, tensor.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_any_memory_layout(rung, disguise):
    logits, targets = np.random.default_rng(2).random((2, 4, 5))
    expected = rung.loss_and_gradient(logits, targets)
    for result, wanted in zip(rung.loss_and_gradient(disguise(logits), disguise(targets)), expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-13)


def test_writes_into_out_and_parallel_allocates_nothing(rung, peak_bytes):
    logits, targets = np.random.default_rng(3).random((2, 300, 40)).astype(np.float32)
    out = (np.full(300, 9, np.float32), np.full_like(logits, 9))
    results = rung.loss_and_gradient(logits, targets, out=out)
    for result, given, fresh in zip(results, out, rung.loss_and_gradient(logits, targets), strict=True):
        assert result is given
        np.testing.assert_array_equal(result, fresh)
    if rung.__name__.endswith("parallel"):
        assert peak_bytes(lambda: rung.loss_and_gradient(logits, targets, out=out)) < 8192 < logits.nbytes


def test_refuses_other_shapes(rung):
    with pytest.raises(ValueError, match="targets has shape"):
        rung.loss_and_gradient(np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32))
