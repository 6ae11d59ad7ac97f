"""The transpose in vector registers against NumPy's."""

import numpy as np
import pytest

from tinyconv.kernels.jit import jit
from tinyconv.kernels.transpose import transpose


@jit()
def transpose_into(a, out):
    transpose(a, out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (16, 16), (17, 33), (32, 64), (96, 40), (0, 5)])
def test_every_element_is_in_its_place(shape: tuple[int, int], dtype: str) -> None:
    a = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)
    out = np.full(shape[::-1], np.nan, dtype)
    transpose_into(a, out)
    np.testing.assert_array_equal(out, a.T)


def test_rows_may_be_parts_of_longer_ones() -> None:
    a = np.arange(40 * 50, dtype=np.float32).reshape(40, 50)
    out = np.zeros((60, 70), np.float32)
    transpose_into(a[3:, 5:45], out[7:47, 11:48])
    np.testing.assert_array_equal(out[7:47, 11:48], a[3:, 5:45].T)
    out[7:47, 11:48] = 0
    assert not out.any()
