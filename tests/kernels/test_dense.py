"""Every rung of the dense layer, by hand, against NumPy, and for any number of threads."""

from itertools import product

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.workspace import Workspace


@pytest.fixture(params=registry.RUNGS["dense"])
def rung(request):
    return registry.implementation("dense", request.param)


def test_by_hand(rung):
    x, w = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[1.0, 0], [0, 1], [2, 2]])
    dy = np.array([[1.0, 10], [0, 100]])
    assert rung.forward(x, w, np.array([0.5, -1])).tolist() == [[7.5, 7], [16.5, 16]]
    assert rung.backward_input(dy, w).tolist() == [[1, 10, 22], [0, 100, 200]]
    dw, db = rung.backward_weights(x, dy)
    assert dw.tolist() == [[1, 410], [2, 520], [3, 630]]
    assert db.tolist() == [1, 110]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", registry.RUNGS["dense"][1:])
def test_equals_the_definition(name, dtype):
    definition, rung = (registry.implementation("dense", one) for one in ("definition", name))
    rng = np.random.default_rng(0)
    workspace = Workspace()
    for n, features, units in product((1, 7, 100), (1, 13, 300), (1, 10, 70, 130)):
        x, w, dy, b = (
            rng.standard_normal(shape).astype(dtype)
            for shape in ((n, features), (features, units), (n, units), (units,))
        )
        got = [
            rung.forward(x, w, b, workspace=workspace), rung.forward(x, w, workspace=workspace),
            rung.backward_input(dy, w, workspace=workspace), *rung.backward_weights(x, dy, workspace=workspace),
        ]
        expected = [
            definition.forward(x, w, b), definition.forward(x, w), definition.backward_input(dy, w),
            *definition.backward_weights(x, dy),
        ]
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-11 if dtype == np.float64 else 2e-3, rtol=1e-4)


def test_out_and_strided_inputs(rung):
    rng = np.random.default_rng(1)
    x, w, dy = rng.standard_normal((4, 6)), rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    y, dx, dw, db = np.empty((4, 3)), np.empty((4, 6)), np.empty((6, 3)), np.empty(3)
    assert rung.forward(np.asfortranarray(x), w[:, ::-1].copy()[:, ::-1], out=y) is y
    assert rung.backward_input(np.asfortranarray(dy), np.asfortranarray(w), out=dx) is dx
    assert rung.backward_weights(np.asfortranarray(x), np.asfortranarray(dy), out=(dw, db)) == (dw, db)
    np.testing.assert_allclose(y, x @ w)
    np.testing.assert_allclose(dx, dy @ w.T)
    np.testing.assert_allclose(dw, x.T @ dy)
    np.testing.assert_allclose(db, dy.sum(0))


def test_nan_stays_in_its_row(rung):
    x = np.ones((3, 5))
    x[1, 2] = np.nan
    y = rung.forward(x, np.ones((5, 4)))
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False]
    assert y[0].tolist() == [5] * 4


def test_same_bits_for_any_number_of_threads():
    parallel = registry.implementation("dense", "parallel")
    rng = np.random.default_rng(2)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((50, 300), (300, 130), (50, 130)))
    available, results = numba.get_num_threads(), []
    try:
        for threads in range(1, available + 1):
            numba.set_num_threads(threads)
            results.append(
                b"".join(
                    a.tobytes()
                    for a in (parallel.forward(x, w), parallel.backward_input(dy, w), *parallel.backward_weights(x, dy))
                )
            )
    finally:
        numba.set_num_threads(available)
    assert len(set(results)) == 1
