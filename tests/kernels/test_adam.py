"""Adam: one step by hand, and many steps beside PyTorch's."""

import tracemalloc
from math import sqrt
from types import ModuleType

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.adam import definition, parallel


@pytest.fixture(params=registry.RUNGS["adam"])
def adam(request: pytest.FixtureRequest) -> ModuleType:
    return registry.implementation("adam", request.param)


def arrays(size, dtype=np.float64):
    rng = np.random.default_rng(size)
    p, g, m = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    return p, g, m, rng.random(size).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(adam, dtype):
    p, g, m, v = (np.array([number], dtype) for number in (1, 2, 2, 4))
    adam.step(p, g, m, v, step_size=0.5, beta_1=0.5, beta_2=0.25, epsilon=2.0)
    assert (m[0], v[0]) == (2, 4)  # ½·2 + ½·2 and ¼·4 + ¾·2²
    assert p[0] == 0.75  # 1 - ½ · 2 / (√4 + 2)
    adam.step(p, g, m, v, step_size=0.5, beta_1=0.5, beta_2=0.25, epsilon=2.0, decay=1 / 3)
    assert p[0] == 0.25  # 0.75 - 0.75/3 - ½ · 2 / 4
    assert p.dtype == m.dtype == v.dtype == dtype


@pytest.mark.parametrize("size", [0, 1, 3, 17, 1001])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_parallel_is_the_definition(size, dtype, tolerance):
    mine, theirs = arrays(size, dtype), arrays(size, dtype)
    for _ in range(3):
        numbers = {"step_size": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "decay": 0.01}
        parallel.step(*mine, **numbers)
        definition.step(*theirs, **numbers)
    for got, expected in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_many_steps_beside_torch(adam, weight_decay):
    """PyTorch adds its ε to √v after the bias correction, so ours is its ε · √(1-β₂ᵗ) at step t."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    p, m, v = rng.standard_normal(50), np.zeros(50), np.zeros(50)
    theirs = torch.tensor(p.copy(), requires_grad=True)
    optimizer = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=weight_decay)
    for t in range(1, 31):
        g = rng.standard_normal(50)
        correction = sqrt(1 - 0.95**t)
        adam.step(
            p, g, m, v, step_size=0.01 * correction / (1 - 0.8**t), beta_1=0.8, beta_2=0.95, epsilon=1e-3 * correction,
            decay=0.01 * weight_decay,
        )
        theirs.grad = torch.tensor(g)
        optimizer.step()
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-12)


def test_no_gradient_no_step(adam):
    p, zero = np.ones(5, np.float32), np.zeros(5, np.float32)
    adam.step(p, zero, zero.copy(), zero.copy(), step_size=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert (p == 1).all()


def test_nan_stays_where_it_is(adam):
    p, g, m, v = arrays(9)
    g[4] = np.nan
    adam.step(p, g, m, v, step_size=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert np.isnan(p).tolist() == [place == 4 for place in range(9)]


def test_wrong_shapes_and_dtypes(adam):
    numbers = {"step_size": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    p, g, m, v = arrays(4)
    for wrong in [(p, g[:3], m, v), (p, g, m.astype(np.float32), v), tuple(a.reshape(2, 2) for a in (p, g, m, v))]:
        with pytest.raises(ValueError, match="1-D"):
            adam.step(*wrong, **numbers)


def test_one_compiled_function_per_dtype_and_nothing_allocated():
    state = arrays(100_000, np.float32)
    parallel.step(*state, step_size=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    before = len(parallel._step.__wrapped__.signatures)
    tracemalloc.start()
    parallel.step(*state, step_size=1, beta_1=np.float64(0.9), beta_2=0, epsilon=np.float32(1e-7), decay=np.float64(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(parallel._step.__wrapped__.signatures) == before
    assert peak < 10_000
    for signature in parallel._step.__wrapped__.signatures:  # all float32, or all float64
        assert {getattr(kind, "dtype", kind) for kind in signature} in ({numba.float32}, {numba.float64})
