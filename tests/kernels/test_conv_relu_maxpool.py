"""The fused block against convolution, ReLU and max-pooling one after the other."""

from itertools import product

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.workspace import Workspace

DEFINITION = registry.implementation("conv_relu_maxpool", "definition")
FUSED = [name for name in registry.RUNGS["conv_relu_maxpool"] if name != "definition"]
NO = ((0, 0), (0, 0))
CONVOLUTIONS = [((1, 1), NO, (1, 1)), ((1, 2), ((1, 0), (0, 1)), (1, 1)), ((1, 1), ((2, 2), (2, 2)), (2, 2))]
POOLS = [((2, 2), (2, 2), NO), ((1, 1), (1, 1), NO), ((3, 2), (2, 1), ((1, 1), (0, 1))), ((2, 3), (3, 4), NO)]


@pytest.fixture
def fused(name):
    """The rung called `name`."""
    return registry.implementation("conv_relu_maxpool", name)


def case(convolution, pool, channels, filters, dtype, batch=3):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 9, 10, channels)).astype(dtype)
    w = rng.standard_normal((3, 3, channels, filters)).astype(dtype)
    b = rng.standard_normal(filters).astype(dtype)
    keywords = dict(zip(("strides", "padding", "dilation"), convolution, strict=True))
    return x, w, b, pool[0], keywords | {"pool_strides": pool[1], "pool_padding": pool[2]}


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_the_three_operations(fused, dtype):
    tolerance = 1e-10 if dtype == np.float64 else 2e-3
    workspace = Workspace()
    for convolution, pool, (channels, filters) in product(CONVOLUTIONS, POOLS, ((1, 5), (3, 32), (17, 66), (32, 16))):
        x, w, b, pool_size, keywords = case(convolution, pool, channels, filters, dtype)
        y, winners = DEFINITION.forward(x, w, b, pool_size, **keywords)
        got_y, got_winners = fused.forward(x, w, b, pool_size, workspace=workspace, **keywords)
        np.testing.assert_allclose(got_y, y, atol=tolerance)
        assert got_winners.dtype == np.uint8
        if dtype == np.float64:
            np.testing.assert_array_equal(got_winners, winners)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        for need_dx in (True, False):
            expected = DEFINITION.backward(dy, winners, x, w, pool_size, need_dx=need_dx, **keywords)
            got = fused.backward(dy, winners, x, w, pool_size, need_dx=need_dx, workspace=workspace, **keywords)
            assert (got[0] is None) == (not need_dx)
            for mine, theirs in zip(got[1 - need_dx :], expected[1 - need_dx :], strict=True):
                np.testing.assert_allclose(mine, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("pairs", [1, 16])  # of filters: those of 16 pairs fill whole vectors
def test_ties_go_to_the_first_pixel_and_a_stopped_relu_stops_the_gradient(fused, pairs):
    x = np.zeros((1, 3, 3, 1))
    x[0, :2, 1:] = 2.0  # all four pixels of the window tie for filter 0; filter 1 is negative throughout
    w = np.tile([1.0, -1.0], pairs).reshape(1, 1, 1, -1)
    keywords = {"strides": (1, 1), "padding": NO, "dilation": (1, 1), "pool_strides": (2, 2), "pool_padding": NO}
    y, winners = fused.forward(x[:, :2, 1:], w, None, (2, 2), **keywords)
    assert y.ravel().tolist() == [2, 0] * pairs
    assert winners.ravel().tolist() == [0, 4] * pairs  # 4 is no place of the window
    dx, dw, db = fused.backward(np.full(y.shape, 5.0), winners, x[:, :2, 1:], w, (2, 2), **keywords)
    assert dx[0, ..., 0].tolist() == [[5 * pairs, 0], [0, 0]]
    assert dw.ravel().tolist() == [10, 0] * pairs
    assert db.tolist() == [5, 0] * pairs


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("filters", [5, 16])
def test_nan_wins_its_window(fused, filters):
    x, w, b, pool_size, keywords = case(CONVOLUTIONS[0], POOLS[0], 3, filters, np.float64)
    x[1, 4, 4, 0] = np.nan
    for mine, theirs in zip(
        fused.forward(x, w, b, pool_size, **keywords), DEFINITION.forward(x, w, b, pool_size, **keywords), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("name", FUSED)
def test_every_pixel_of_a_window_can_win_and_the_first_nan_does(fused):
    """A 1×1 kernel shows windows to the pooling as they are, for whole vectors of filters; the image is odd."""
    windows = np.array(list(product((-1.0, 0.0, 1.0, 2.0, np.nan), repeat=4)))  # all of them: 625
    x = np.zeros((25, 11, 11, 1))
    x[:, :10, :10, 0] = windows.reshape(25, 5, 5, 2, 2).transpose(0, 1, 3, 2, 4).reshape(25, 10, 10)
    w, b = np.arange(1.0, 17.0).reshape(1, 1, 1, 16), np.zeros(16)
    keywords = {"strides": (1, 1), "padding": NO, "dilation": (1, 1), "pool_strides": (2, 2), "pool_padding": NO}
    y, winners = fused.forward(x, w, b, (2, 2), **keywords)
    expected_y, expected_winners = DEFINITION.forward(x, w, b, (2, 2), **keywords)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(winners, expected_winners)
    finite = np.nan_to_num(x)
    dy = np.random.default_rng(0).integers(-9, 10, y.shape).astype(float)
    for got, expected in zip(
        fused.backward(dy, winners, finite, w, (2, 2), **keywords),
        DEFINITION.backward(dy, winners, finite, w, (2, 2), **keywords),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)  # sums of small integers are exact


@pytest.mark.parametrize("name", FUSED)
def test_same_bits_for_any_number_of_threads(fused):
    x, w, b, pool_size, keywords = case(CONVOLUTIONS[1], POOLS[1], 3, 20, np.float32, batch=25)
    available, results = numba.get_num_threads(), set()
    try:
        for threads in range(1, available + 1):
            numba.set_num_threads(threads)
            y, winners = fused.forward(x, w, b, pool_size, **keywords)
            dy = np.sin(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
            gradients = fused.backward(dy, winners, x, w, pool_size, **keywords)
            results.add(b"".join(a.tobytes() for a in (y, winners, *gradients)))
    finally:
        numba.set_num_threads(available)
    assert len(results) == 1
