"""Softmax with cross-entropy: every rung against hand-computed numbers, the definition and PyTorch."""

from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.registry import RUNGS, implementation


@pytest.fixture(params=RUNGS["softmax_cross_entropy"])
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return implementation("softmax_cross_entropy", request.param)


@pytest.mark.parametrize("targets", [np.array([0, 2]), np.array([[1.0, 0, 0], [0, 0, 1.0]])], ids=["labels", "one-hot"])
def test_by_hand(rung, targets):
    logits = np.log([[1.0, 3, 4], [2, 2, 4]])  # probabilities in eighths: 1 3 4 and 2 2 4
    losses, dlogits = rung.loss_and_gradient(logits, targets)
    np.testing.assert_allclose(losses, np.log([8, 2]), rtol=1e-14)
    np.testing.assert_allclose(8 * dlogits, [[-7, 3, 4], [2, 2, -4]], rtol=1e-14)
    _, scaled = rung.loss_and_gradient(logits, targets, scale=0.5)
    np.testing.assert_array_equal(scaled, dlogits / 2)


def test_the_lessons_example(rung):
    p = np.array([[0.03, 0.03, 0.01, 0.9, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.0025]])
    losses, _ = rung.loss_and_gradient(np.log(p), np.array([3]))
    assert losses.item() == pytest.approx(0.10536, abs=1e-5)


def test_soft_targets_that_do_not_sum_to_one(rung):
    targets = np.array([[0.5, 1.0, 0.0]])
    losses, dlogits = rung.loss_and_gradient(np.log([[1.0, 3, 4]]), targets)
    np.testing.assert_allclose(losses, [0.5 * np.log(8) + np.log(8 / 3)], rtol=1e-14)
    np.testing.assert_allclose(dlogits, [[1.5 / 8 - 0.5, 4.5 / 8 - 1, 6 / 8]], rtol=1e-14)


@pytest.mark.parametrize("one_hot", [False, True])
def test_extreme_logits(rung, one_hot):
    logits = np.array([[3e38, -3e38, 0], [-3e38, 3e38, 0], [0, 0, -np.inf], [np.nan, 0, 0]], np.float32)
    labels = np.array([0, 1, 1, 1])
    losses, dlogits = rung.loss_and_gradient(logits, np.eye(3, dtype=np.float32)[labels] if one_hot else labels)
    np.testing.assert_allclose(losses, np.array([0, 0, np.log(2), np.nan], np.float32), rtol=1e-6)
    np.testing.assert_array_equal(dlogits[:3], [[0, 0, 0], [0, 0, 0], [0.5, -0.5, 0]])
    assert np.isnan(dlogits[3]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 10), (3, 5000)])
def test_equals_the_definition(dtype, n, k):
    random, eps = np.random.default_rng(0), np.finfo(dtype).eps
    logits = (5 * random.standard_normal((n, k))).astype(dtype)
    labels, soft = random.integers(0, k, n), random.random((n, k)).astype(dtype)
    definition = implementation("softmax_cross_entropy", "definition")
    for rung in (implementation("softmax_cross_entropy", name) for name in RUNGS["softmax_cross_entropy"][1:]):
        for targets in (labels, labels.astype(np.uint8), soft):
            if targets.dtype == np.uint8 and k > 256:
                continue
            results = rung.loss_and_gradient(logits, targets, scale=0.25)
            expected = definition.loss_and_gradient(logits, targets, scale=0.25)
            for result, wanted in zip(results, expected, strict=True):
                np.testing.assert_allclose(result, wanted, rtol=100 * eps, atol=20 * eps * np.abs(wanted).max())
                assert result.dtype == dtype


def test_equals_torch(rung):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    z, soft, labels = random.standard_normal((6, 11)), random.dirichlet(np.ones(11), 6), random.integers(0, 11, 6)
    for targets in (labels, soft):
        tensor = torch.tensor(z, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(targets), reduction="none")
        expected.mean().backward()
        losses, dlogits = rung.loss_and_gradient(z, targets, scale=1 / 6)
        np.testing.assert_allclose(losses, expected.detach().numpy(), rtol=1e-13)
        np.testing.assert_allclose(dlogits, tensor.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_any_memory_layout(rung, disguise):
    random = np.random.default_rng(2)
    logits, soft, labels = random.standard_normal((4, 5)), random.random((4, 5)), random.integers(0, 5, 4)
    for targets in (labels, soft):
        expected = rung.loss_and_gradient(logits, targets)
        for result, wanted in zip(rung.loss_and_gradient(disguise(logits), disguise(targets)), expected, strict=True):
            np.testing.assert_allclose(result, wanted, rtol=1e-13)


def test_writes_into_out_and_parallel_allocates_nothing(rung, peak_bytes):
    random = np.random.default_rng(3)
    logits, labels = random.standard_normal((300, 40)).astype(np.float32), random.integers(0, 40, 300)
    out = (np.full(300, 9, np.float32), np.full_like(logits, 9))
    results = rung.loss_and_gradient(logits, labels, out=out)
    for result, given, fresh in zip(results, out, rung.loss_and_gradient(logits, labels), strict=True):
        assert result is given
        np.testing.assert_array_equal(result, fresh)
    if rung.__name__.endswith("parallel"):
        for targets in (labels, np.abs(logits)):
            assert peak_bytes(lambda t=targets: rung.loss_and_gradient(logits, t, out=out)) < 8192 < logits.nbytes


def test_refuses_other_shapes(rung):
    logits = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="targets has shape"):
        rung.loss_and_gradient(logits, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="targets has shape"):
        rung.loss_and_gradient(logits, np.zeros((2, 4), np.float32))
