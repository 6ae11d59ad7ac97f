"""Gradient descent with momentum: one step by hand, and many steps beside PyTorch's."""

from types import ModuleType

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.sgd import definition, parallel


@pytest.fixture(params=registry.RUNGS["sgd"])
def sgd(request: pytest.FixtureRequest) -> ModuleType:
    return registry.implementation("sgd", request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("momentum", "nesterov", "velocity", "p"),
    [
        (0.0, False, -1.0, 9.0),  # -½·2, 10 - 1
        (0.5, False, 1.0, 11.0),  # ½·4 - ½·2, 10 + 1
        (0.5, True, 1.0, 9.5),  # 10 + ½·1 - ½·2
    ],
)
def test_by_hand(sgd, dtype, momentum, nesterov, velocity, p):
    arrays = [np.array([number], dtype) for number in (10, 2, 4)]
    sgd.step(*arrays, learning_rate=0.5, momentum=momentum, nesterov=nesterov)
    assert [array[0] for array in arrays] == [p, 2, velocity]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize("nesterov", [False, True])
def test_decay_by_hand(sgd, nesterov):
    p, g, velocity = (np.array([number]) for number in (10.0, 2.0, 4.0))
    sgd.step(p, g, velocity, learning_rate=0.5, momentum=0.5, nesterov=nesterov, decay=0.25)
    assert (p[0], velocity[0]) == (7.0 if nesterov else 8.5, 1.0)  # from 7.5 on, as above


@pytest.mark.parametrize("size", [0, 1, 3, 17, 1001])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_parallel_is_the_definition(size, nesterov, dtype, tolerance):
    start = np.random.default_rng(0).standard_normal((3, size)).astype(dtype)
    mine, theirs = list(start.copy()), list(start.copy())
    for _ in range(3):
        parallel.step(*mine, learning_rate=0.1, momentum=0.9, nesterov=nesterov, decay=0.01)
        definition.step(*theirs, learning_rate=0.1, momentum=0.9, nesterov=nesterov, decay=0.01)
    np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_many_steps_beside_torch(sgd, momentum, nesterov):
    """PyTorch's velocity is ours divided by minus the learning rate, which stays the same here: p moves alike."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    p, velocity = rng.standard_normal(50), np.zeros(50)
    theirs = torch.tensor(p.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=0.05, momentum=momentum, nesterov=nesterov)
    for _ in range(20):
        g = rng.standard_normal(50)
        sgd.step(p, g, velocity, learning_rate=0.05, momentum=momentum, nesterov=nesterov)
        theirs.grad = torch.tensor(g)
        optimizer.step()
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-12)


def test_wrong_shapes(sgd):
    with pytest.raises(ValueError, match="1-D"):
        sgd.step(np.zeros(3), np.zeros(4), np.zeros(3), learning_rate=0.1, momentum=0.0, nesterov=False)


def test_one_compiled_function_per_dtype():
    p, g, velocity = np.ones((3, 8), np.float32)
    parallel.step(p, g, velocity, learning_rate=0.1, momentum=0.9, nesterov=False)
    before = len(parallel._step.__wrapped__.signatures)
    parallel.step(p, g, velocity, learning_rate=1, momentum=np.float64(0.9), nesterov=True)
    assert len(parallel._step.__wrapped__.signatures) == before
    for signature in parallel._step.__wrapped__.signatures:
        kinds = {getattr(kind, "dtype", kind) for kind in signature} - {numba.boolean}
        assert kinds in ({numba.float32}, {numba.float64})
