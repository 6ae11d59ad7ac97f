"""The micro-kernel's own promises: every tile shape and tail, and other CPUs than this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyconv.kernels import matmul, microkernel
from tinyconv.kernels.workspace import Workspace


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_of_rows_and_columns_of_a_tile(dtype):
    rng = np.random.default_rng(0)
    for rows in range(1, max(microkernel.ROWS) + 2):
        for columns in (1, 7, *(v * matmul.lanes(dtype) + extra for v in range(1, 5) for extra in (-1, 0, 1))):
            a, b = rng.standard_normal((rows, 5)).astype(dtype), rng.standard_normal((5, columns)).astype(dtype)
            out = np.full((rows + 2, columns), 7, dtype)  # a row before and one after must stay as they are
            matmul.matmul(a.ravel(), matmul.offsets(rows, 5), 1, matmul.whole_vectors(b, Workspace(), "b"), out[1:-1])
            np.testing.assert_allclose(out[1:-1], a @ b, rtol=1e-4, atol=1e-5)
            assert (out[0] == 7).all()
            assert (out[-1] == 7).all()


def test_a_matrix_is_copied_only_where_its_rows_are_not_whole_vectors():
    lanes = matmul.lanes(np.float32)
    b = np.ones((3, 2 * lanes), np.float32)
    assert matmul.whole_vectors(b, Workspace(), "b") is b
    b = np.ones((3, lanes + 2), np.float32)
    workspace = Workspace()
    workspace.array("b", (3, 2 * lanes), np.float32)[...] = np.nan
    wide = matmul.whole_vectors(b, workspace, "b")
    assert (wide[:, : lanes + 2] == 1).all()
    assert (wide[:, lanes + 2 :] == 0).all()


def test_the_transposed_product():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((250, 300)), rng.standard_normal((300, 72))
    out = np.empty((71, 250))
    matmul.matmul_transposed(a.ravel(), matmul.offsets(250, 300), 1, b, out, Workspace())
    np.testing.assert_allclose(out, (a @ b).T[:71], atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", "haswell", "skylake-avx512"])
def test_another_cpu(cpu, tmp_path):
    """Compiles for an older CPU and convolves: correct with its lanes and registers, in a process of its own."""
    if cpu != "generic" and "x86" not in os.uname().machine:
        pytest.skip(f"{cpu} code runs on x86-64 only")
    if cpu == "skylake-avx512" and "avx512" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX-512")
    program = """
import numpy as np
from tinyconv.kernels.conv2d import direct, im2col
from tinyconv.kernels.microkernel import host
x, w = np.random.default_rng(0).standard_normal((2, 7, 8, 3)), np.random.default_rng(1).standard_normal((3, 3, 3, 21))
y = direct.forward(x, w)
assert abs(y - im2col.forward(x, w)).max() < 1e-12
assert abs(direct.backward_input(y, w, x.shape) - im2col.backward_input(y, w, x.shape)).max() < 1e-10
assert abs(direct.backward_weights(x, y, w.shape)[0] - im2col.backward_weights(x, y, w.shape)[0]).max() < 1e-10
print(*host())
"""
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "x86" in os.uname().machine:
        expected = {"generic": (16, 16), "haswell": (32, 16), "skylake-avx512": (32, 32)}[cpu]
        vector_bytes, registers = map(int, done.stdout.split())
        assert vector_bytes == expected[0] or (cpu == "skylake-avx512" and vector_bytes == 64)
        assert registers in (16, 32)
