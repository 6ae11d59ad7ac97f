"""Scratch memory: the same again, at the start of a cache line."""

import numpy as np
import pytest

from tinyconv.kernels.workspace import Workspace


def test_the_same_name_gives_the_same_memory_and_more_where_it_must():
    workspace = Workspace()
    small = workspace.array("a", (2, 3), np.float32)
    assert workspace.array("a", (2, 3), np.float32) is small
    assert np.shares_memory(workspace.array("a", (5,), np.float32), small)
    assert not np.shares_memory(workspace.array("b", (2, 3), np.float32), small)
    assert not np.shares_memory(workspace.array("a", (2, 3), np.float64), small)
    big = workspace.array("a", (100,), np.float32)
    assert not np.shares_memory(big, small)
    assert np.shares_memory(workspace.array("a", (2, 3), np.float32), big)
    assert workspace.nbytes == 400 + 24 + 48


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_memory_starts_at_a_cache_line(dtype):
    for size in (1, 7, 1000, 100_000):
        array = Workspace().array("a", (size,), dtype)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        array[...] = 1
