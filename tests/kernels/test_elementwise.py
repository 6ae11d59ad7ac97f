"""What layers compute besides the operations, compiled: the same bits as NumPy's."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinyconv import devices


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 70, 70, 3)])  # the last one is for several threads
def test_affine(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x.flat[-1] = np.nan
    expected = devices.HOST.affine(x, 1 / 255, -0.3, np.empty_like(x))
    assert_array_equal(devices.Compiled().affine(x, 1 / 255, -0.3, np.empty_like(x)), expected)
    assert devices.Compiled().affine(x, 1 / 255, -0.3, x) is x
    assert_array_equal(x, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_follow(dtype):
    rng = np.random.default_rng(0)
    average, value = rng.normal(size=(2, 37)).astype(dtype)
    expected = average.copy()
    devices.HOST.follow(expected, value, 0.99)
    devices.Compiled().follow(average, value, 0.99)
    assert_array_equal(average, expected)
