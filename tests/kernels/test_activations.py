"""ReLU, sigmoid, tanh and softmax: every rung against hand-computed numbers, the definition and PyTorch."""

from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.elementwise import CHUNK
from tinyconv.kernels.registry import RUNGS, implementation

OPERATIONS = ["relu", "sigmoid", "tanh", "softmax"]
SHAPES = [(1, 1), (3, 7), (2, 3, 4, 5), (5, CHUNK // 2 + 1)]  # the last one is more than one chunk


@pytest.fixture(params=[(operation, name) for operation in OPERATIONS for name in RUNGS[operation]], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, ModuleType]:
    """(operation, one of its rungs)."""
    return request.param[0], implementation(*request.param)


BY_HAND = {
    "relu": ([[-2, 0, 3]], [[0, 0, 3]], [[5, 6, 7]], [[0, 0, 7]]),
    "sigmoid": ([[0, np.log(3), -np.log(3)]], [[1 / 2, 3 / 4, 1 / 4]], [[4, 16, 32]], [[1, 3, 6]]),
    "tanh": ([[0, np.log(2), -np.log(2)]], [[0, 3 / 5, -3 / 5]], [[1, 25, 50]], [[1, 16, 32]]),
    "softmax": (np.log([[1, 3, 4]]), [[1 / 8, 3 / 8, 1 / 2]], [[8, 0, 0]], [[7 / 8, -3 / 8, -1 / 2]]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(case, dtype):
    operation, rung = case
    x, y, dy, dx = (np.array(values, dtype) for values in BY_HAND[operation])
    result = rung.forward(x)
    gradient = rung.backward(dy, y)
    np.testing.assert_allclose(result, y, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(gradient, dx, rtol=4 * np.finfo(dtype).eps)
    assert result.dtype == gradient.dtype == dtype


SPECIAL = {  # of each value alone
    "relu": {np.nan: np.nan, np.inf: np.inf, -np.inf: 0, 3e38: 3e38, -3e38: 0},
    "sigmoid": {np.nan: np.nan, np.inf: 1, -np.inf: 0, 3e38: 1, -3e38: 0},
    "tanh": {np.nan: np.nan, np.inf: 1, -np.inf: -1, 3e38: 1, -3e38: -1},
}


@pytest.mark.parametrize("operation", SPECIAL)
def test_special_values(operation):
    for rung in (implementation(operation, name) for name in RUNGS[operation]):
        x = np.array(list(SPECIAL[operation]), np.float32)
        y = rung.forward(np.tile(x, 5))  # long enough for vector instructions, and a rest
        np.testing.assert_array_equal(y, np.tile(np.array(list(SPECIAL[operation].values()), np.float32), 5))


def test_special_values_of_softmax():
    for rung in (implementation("softmax", name) for name in RUNGS["softmax"]):
        x = [[3e38, -3e38, 0], [-np.inf, 0, 0], [0, np.nan, 0], [np.nan, 0, 0], [np.inf, 0, 0], [-np.inf] * 3]
        y = rung.forward(np.array(x, np.float32))
        np.testing.assert_array_equal(y[:2], [[1, 0, 0], [0, 0.5, 0.5]])
        assert np.isnan(y[2:5]).any(axis=1).all()
        np.testing.assert_array_equal(y[5], [np.nan] * 3)


def test_gradient_of_relu_at_special_values():
    dy = np.array([1, 2, 3, 4, np.nan, np.inf], np.float32)
    y = np.array([0, np.nan, np.inf, 5, 0, 0], np.float32)
    for rung in (implementation("relu", name) for name in RUNGS["relu"]):
        np.testing.assert_array_equal(rung.backward(dy, y), [0, 2, 3, 4, 0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_equals_the_definition(operation, shape, dtype):
    random, eps = np.random.default_rng(0), np.finfo(dtype).eps
    x, dy = (5 * random.standard_normal((2, *shape))).astype(dtype)
    definition = implementation(operation, "definition")
    for rung in (implementation(operation, name) for name in RUNGS[operation][1:]):
        y = definition.forward(x)
        np.testing.assert_allclose(rung.forward(x), y, rtol=100 * eps)
        np.testing.assert_allclose(rung.backward(dy, y), definition.backward(dy, y), rtol=0, atol=100 * eps)


def test_equals_torch(case):
    torch = pytest.importorskip("torch")
    operation, rung = case
    x, dy = 5 * np.random.default_rng(1).standard_normal((2, 6, 11))
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.softmax(tensor, -1) if operation == "softmax" else getattr(torch, operation)(tensor)
    expected.backward(torch.tensor(dy))
    y = rung.forward(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(rung.backward(dy, y), tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_place_and_into_out(case, shape):
    _, rung = case
    x, dy = np.random.default_rng(2).standard_normal((2, *shape)).astype(np.float32)
    y, given_x, given_dy = rung.forward(x), x.copy(), dy.copy()
    dx = rung.backward(dy, y)
    np.testing.assert_array_equal(x, given_x)  # inputs stay as they were
    np.testing.assert_array_equal(dy, given_dy)
    out = np.full_like(x, 9)
    assert rung.forward(x, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert rung.backward(dy, y, out=out) is out
    np.testing.assert_array_equal(out, dx)
    assert rung.forward(given_x, out=given_x) is given_x
    np.testing.assert_array_equal(given_x, y)
    assert rung.backward(given_dy, y, out=given_dy) is given_dy
    np.testing.assert_array_equal(given_dy, dx)


def test_any_memory_layout(case, disguise):
    _, rung = case
    x, dy = np.random.default_rng(3).standard_normal((2, 4, 5, 6))
    y = rung.forward(x)
    np.testing.assert_allclose(rung.forward(disguise(x)), y, rtol=1e-15)
    np.testing.assert_allclose(rung.backward(disguise(dy), disguise(y)), rung.backward(dy, y), rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_parallel_allocates_nothing_for_a_given_output(operation, peak_bytes):
    rung = implementation(operation, "parallel")
    x = np.random.default_rng(4).standard_normal((64, 300)).astype(np.float32)
    out = np.empty_like(x)
    assert peak_bytes(lambda: rung.forward(x, out=out)) < 8192 < x.nbytes
    assert peak_bytes(lambda: rung.backward(x, x, out=out)) < 8192


def test_refuses_other_shapes(case):
    _, rung = case
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="y has shape"):
        rung.backward(x, np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="out has shape"):
        rung.forward(x, out=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="C-contiguous"):
        rung.forward(x, out=np.zeros((3, 2), np.float32).T)
