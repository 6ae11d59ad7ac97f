"""Launching CUDA kernels on the host build: indices, barriers, shared memory, shuffles, and what is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyconv.kernels.cuda import cached, host
from tinyconv.kernels.cuda.launcher import Source, blocks, ctype
from tinyconv.kernels.cuda.problems import CompileError, CudaError

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

Array = np.ndarray[Any, Any]

KERNELS = """
#include "device.cuh"

#define WHERE (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z))

extern "C" __global__ void places(int* out)
{
    int threads = blockDim.x * blockDim.y * blockDim.z;
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int* mine = out + 6 * (block * threads + WHERE);
    mine[0] = threadIdx.x, mine[1] = threadIdx.y, mine[2] = threadIdx.z;
    mine[3] = blockIdx.x, mine[4] = blockIdx.y, mine[5] = blockIdx.z;
}

extern "C" __global__ void __launch_bounds__(64) reverse(const T* x, T* y)  // each block its own 64 numbers
{
    __shared__ T row[64];
    row[threadIdx.x] = x[64 * blockIdx.x + threadIdx.x];
    __syncthreads();
    y[64 * blockIdx.x + threadIdx.x] = row[63 - threadIdx.x];
}

extern "C" __global__ void reverse_without_waiting(const T* x, T* y)
{
    __shared__ T row[64];
    row[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = row[63 - threadIdx.x];
}

template <class V>
__device__ V* row_of_template()
{
    __shared__ V row[64];
    return row;
}

extern "C" __global__ void unwritten(T* y)
{
    y[threadIdx.x] = row_of_template<T>()[threadIdx.x];
    row_of_template<T>()[threadIdx.x] = 1;
}

extern "C" __global__ void reverse_dynamic(const T* x, T* y, int n)
{
    extern __shared__ T row[];
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = row[n - 1 - threadIdx.x];
}

extern "C" __global__ void rotate(T* x, int times)  // many barriers: each thread passes its number on
{
    __shared__ T row[256];
    for (int i = 0; i < times; i++) {
        row[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = row[(threadIdx.x + 1) % blockDim.x];
        __syncthreads();
    }
}

extern "C" __global__ void shuffles(const T* x, T* y)  // y (7, threads)
{
    int n = blockDim.x, i = threadIdx.x;
    y[0 * n + i] = __shfl_sync(FULL_WARP, x[i], 5);
    y[1 * n + i] = __shfl_down_sync(FULL_WARP, x[i], 3);
    y[2 * n + i] = __shfl_up_sync(FULL_WARP, x[i], 3);
    y[3 * n + i] = __shfl_xor_sync(FULL_WARP, x[i], 1);
    y[4 * n + i] = __shfl_xor_sync(FULL_WARP, x[i], 8, 16);
    y[5 * n + i] = __shfl_down_sync(FULL_WARP, x[i], 1, 4);
    y[6 * n + i] = __ballot_sync(FULL_WARP, x[i] > 40) % 1000;
}

extern "C" __global__ void sum(const T* x, T* y, int n)
{
    T mine = 0;
    for (int i = threadIdx.x; i < n; i += 128)
        mine += x[i];
    mine = block_sum<128>(mine);
    T again = block_sum<128>(mine);  // only thread 0's counts
    if (threadIdx.x == 0)
        y[0] = mine, y[1] = again;
}

extern "C" __global__ void first_ones_leave(int* out)
{
    if (threadIdx.x < 10)
        return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

extern "C" __global__ void last_ones_leave(int* out)
{
    if (threadIdx.x >= 10)
        return;
    __syncthreads();
    out[threadIdx.x] = 1;
}

extern "C" __global__ void two_barriers()
{
    if (threadIdx.x < 10)
        __syncthreads();
    else
        __syncthreads();
}

extern "C" __global__ void shuffle_or_barrier(int* out)
{
    if (threadIdx.x < 10)
        out[0] = __shfl_sync(FULL_WARP, 1, 0);
    else
        __syncthreads();
}

extern "C" __global__ void half_a_warp(int* out) { out[0] = __shfl_sync(0xffff, 1, 0); }

extern "C" __global__ void numbers(
    unsigned char* u1, const int* i4, double f8, float f4, unsigned int u4, unsigned long long u8, bool flag,
    double* out)
{
    out[0] = u1[0] + i4[0] + f8 + f4 + u4 + u8 + flag;
    out[1] = __umul64hi(u8, u8);
}

extern "C" __global__ void copy4(const float4* x, float4* y, const T* nothing)
{
    float4 four = x[threadIdx.x];
    y[threadIdx.x] = nothing ? four : make_float4(four.w, four.z, four.y, four.x);
}

extern "C" __global__ void beyond(const T* x, T* y) { y[threadIdx.x] = x[threadIdx.x]; }

extern "C" __global__ void beyond_shared(T* y)
{
    __shared__ T row[32];
    row[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x + 1];
}
"""

FLOAT = {"T": "float"}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("cuda") / "kernels.cu"
    path.write_text(KERNELS, encoding="utf-8")
    return Source(path)


def test_every_thread_of_every_block_runs_once_and_knows_its_place(kernels: Source) -> None:
    grid, block = (3, 2, 4), (5, 3, 2)
    out = np.full((4, 2, 3, 2, 3, 5, 6), -1, np.int32)
    kernels.launch("places", grid, block, out, defines=FLOAT)
    z, y, x, tz, ty, tx = np.indices(out.shape[:-1])
    np.testing.assert_array_equal(out, np.stack([tx, ty, tz, x, y, z], axis=-1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shared_memory_and_barriers(kernels: Source, dtype: type) -> None:
    x = np.random.default_rng(0).random(5 * 64).astype(dtype)
    y = np.zeros_like(x)
    kernels.launch("reverse", 5, 64, x, y, defines={"T": ctype(dtype)})
    np.testing.assert_array_equal(y.reshape(5, 64), x.reshape(5, 64)[:, ::-1])


def test_what_nobody_wrote_to_shared_memory_is_nan(kernels: Source) -> None:
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    kernels.launch("reverse_without_waiting", 1, 64, x, y, defines=FLOAT)
    assert np.isnan(y[:32]).all()
    for _ in range(2):
        y[:] = 0
        kernels.launch("unwritten", 3, 64, y, defines=FLOAT)
        assert np.isnan(y).all()


def test_threads_can_take_turns_backwards(kernels: Source) -> None:
    x = np.arange(64, dtype=np.float32)
    right, forwards, other = np.zeros((3, 64), np.float32)
    macros, one, block = (("T", "float"),), (1, 1, 1), (64, 1, 1)
    host.launch(kernels.path, "reverse", macros, one, block, (x, right), 0, backwards=True)
    np.testing.assert_array_equal(right, x[::-1])
    host.launch(kernels.path, "reverse_without_waiting", macros, one, block, (x, forwards), 0)
    host.launch(kernels.path, "reverse_without_waiting", macros, one, block, (x, other), 0, backwards=True)
    assert np.isnan(forwards[:32]).all()
    assert np.isnan(other[32:]).all()
    np.testing.assert_array_equal(other[:32], x[:31:-1])


def test_more_shared_memory_than_there_is(kernels: Source) -> None:
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    for _ in range(2):
        with pytest.raises(CudaError, match="too little memory for the shared memory of a block"):
            kernels.launch("reverse_dynamic", 1, 64, x, y, np.int32(64), shared=2**60, defines=FLOAT)
    kernels.launch("reverse_dynamic", 1, 64, x, y, np.int32(64), shared=256, defines=FLOAT)
    np.testing.assert_array_equal(y, x)


def test_dynamic_shared_memory(kernels: Source) -> None:
    for n in (64, 1000, 8):
        x = np.random.default_rng(n).random(n, dtype=np.float32)
        y = np.zeros_like(x)
        kernels.launch("reverse_dynamic", 1, n, x, y, np.int32(n), shared=4 * n, defines=FLOAT)
        np.testing.assert_array_equal(y, x[::-1])


def test_many_barriers(kernels: Source) -> None:
    x = np.arange(256, dtype=np.float32)
    kernels.launch("rotate", 1, 256, x, np.int32(1000), defines=FLOAT)
    np.testing.assert_array_equal(x, np.roll(np.arange(256), -1000))


def test_shuffles_follow_the_programming_guide(kernels: Source) -> None:
    x = np.arange(64, dtype=np.float32)
    y = np.zeros((7, 64), np.float32)
    kernels.launch("shuffles", 1, 64, x, y, defines=FLOAT)
    warp, lane = np.divmod(np.arange(64), 32)
    np.testing.assert_array_equal(y[0], 32 * warp + 5)
    np.testing.assert_array_equal(y[1], 32 * warp + np.where(lane + 3 < 32, lane + 3, lane))
    np.testing.assert_array_equal(y[2], 32 * warp + np.where(lane >= 3, lane - 3, lane))
    np.testing.assert_array_equal(y[3], np.arange(64) ^ 1)
    np.testing.assert_array_equal(y[4], np.arange(64) ^ 8)
    np.testing.assert_array_equal(y[5], 32 * warp + np.where(lane % 4 < 3, lane + 1, lane))
    np.testing.assert_array_equal(y[6], [0] * 32 + [sum(1 << i for i in range(9, 32)) % 1000] * 32)


def test_a_lane_that_does_not_exist_gives_nan(kernels: Source) -> None:
    x = np.arange(20, dtype=np.float32)
    y = np.zeros((7, 20), np.float32)
    kernels.launch("shuffles", 1, 20, x, y, defines=FLOAT)
    assert np.isnan(y[1, 17:]).all()
    np.testing.assert_array_equal(y[1, :17], np.arange(3, 20))


def test_sums_over_a_block(kernels: Source) -> None:
    x, y = np.arange(1001, dtype=np.float64), np.zeros(2)
    kernels.launch("sum", 1, 128, x, y, np.int32(len(x)), defines={"T": "double"})
    assert y[0] == 500500


@pytest.mark.parametrize(
    ("kernel", "arguments", "sentence"),
    [
        ("two_barriers", 0, r"thread \(0, 0, 0\) waits in the __syncthreads\(\) of line \d+ and"),
        ("first_ones_leave", 1, "has returned: every thread of the block must reach it"),
        ("last_ones_leave", 1, "has returned: every thread of the block must reach it"),
        ("shuffle_or_barrier", 1, "all lanes of a warp must take part"),
        ("half_a_warp", 1, "whole warps only"),
    ],
)
def test_what_would_hang_a_gpu_is_complained_about(kernels: Source, kernel: str, arguments: int, sentence: str) -> None:
    out = np.zeros(64, np.int32)
    for _ in range(3):
        with pytest.raises(CudaError, match=sentence):
            kernels.launch(kernel, 2, 64, *[out][:arguments], defines=FLOAT)
    test_many_barriers(kernels)  # and the library still works


def test_arguments_are_given_in_the_parameters_types(kernels: Source) -> None:
    u1, i4, out = np.array([200], np.uint8), np.array([-3], np.int32), np.zeros(2)
    good: list[Any] = [
        u1, i4, np.float64(0.5), np.float32(0.25), np.uint32(2**32 - 1), np.uint64(2**33), np.bool_(True), out
    ]
    kernels.launch("numbers", 1, 1, *good, defines=FLOAT)
    assert out[0] == 200 - 3 + 0.75 + 2**32 - 1 + 2**33 + 1
    assert out[1] == 4
    read_only = out.copy()
    read_only.flags.writeable = False
    for place, wrong, sentence in [
        (0, u1.astype(np.int8), "parameter 1 is an array of uint8, but got int8 array"),
        (1, 3, "parameter 2 is an array of int32, but got int"),
        (2, 0.5, "parameter 3 is a number, np.float64, but got float"),
        (3, np.float64(0.25), "parameter 4"),
        (5, np.int64(1), "parameter 6"),
        (7, np.zeros(4)[::2], "parameter 8 is a C-contiguous array, but got float64 strided array"),
        (7, read_only, "parameter 8 is an array that can be written, but got float64 read-only array"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            kernels.launch("numbers", 1, 1, *good[:place], wrong, *good[place + 1 :], defines=FLOAT)
    with pytest.raises(ValueError, match="has 8 parameters, but got 7"):
        kernels.launch("numbers", 1, 1, *good[:-1], defines=FLOAT)


def test_vectors_and_null_pointers(kernels: Source) -> None:
    x = np.arange(64, dtype=np.float32)
    y = np.zeros_like(x)
    kernels.launch("copy4", 1, 16, x, y, None, defines=FLOAT)
    np.testing.assert_array_equal(y.reshape(16, 4), x.reshape(16, 4)[:, ::-1])
    kernels.launch("copy4", 1, 16, x, y, x, defines=FLOAT)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("grid", "block"),
    [(0, 1), ((1, 0), 1), (1, 0), (1, 1025), (1, (32, 33)), ((1, 65536), 1), ((1, 1, 1, 1), 1), (1, (1, 1, 65))],
)
def test_sizes_that_no_gpu_takes_are_refused(kernels: Source, grid: Any, block: Any) -> None:
    with pytest.raises(ValueError, match=r"grid|block"):
        kernels.launch("reverse", grid, block, np.zeros(64, np.float32), np.zeros(64, np.float32), defines=FLOAT)


def test_a_kernel_that_does_not_exist_is_named(kernels: Source) -> None:
    with pytest.raises(ValueError, match=r"kernels.cu has no kernel 'backward'; it has places, reverse"):
        kernels.launch("backward", 1, 1, np.zeros(1), defines=FLOAT)


def test_compile_errors_are_told_in_the_compilers_words_with_file_and_line(tmp_path: Path) -> None:
    path, included = tmp_path / "wrong.cu", tmp_path / "more.cuh"
    included.write_text("#pragma once\n#define ONE 1\n", encoding="utf-8")
    kernel = 'extern "C" __global__ void f(int* x)\n{\n    x[0] = ONE + what;\n}\n'
    path.write_text('#include "more.cuh"\n#include "device.cuh"\n\n' + kernel, encoding="utf-8")
    with pytest.raises(CompileError, match=r"wrong.cu does not compile: wrong.cu:6:\d+: error: .*what"):
        Source(path).launch("f", 1, 1, np.zeros(1, np.int32))


def test_compile_errors_may_have_any_letters(tmp_path: Path) -> None:
    """Even where Python takes what it reads for ASCII, as some libraries set the locale of the process to C."""
    path = tmp_path / "wrong.cu"
    path.write_text('extern "C" __global__ void f(int* x) { x[0] = what; /* größer */ }\n', encoding="utf-8")
    code = (
        "import locale, sys; from pathlib import Path; from tinyconv.kernels.cuda import host, problems\n"
        "locale.setlocale(locale.LC_ALL, 'C')\n"
        "try: host._library(Path(sys.argv[1]), ())\n"
        "except problems.CompileError as problem: assert 'wrong.cu:1' in str(problem), problem\n"
        "else: raise AssertionError\n"
    )
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, str(path)]
    ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_missing_include_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lonely.cu"
    path.write_text('#include "nowhere.cuh"\nextern "C" __global__ void f() {}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"lonely\.cu includes 'nowhere.cuh', which is neither"):
        Source(path).launch("f", 1, 1)


def test_a_machine_without_a_compiler_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fine.cu"
    path.write_text('extern "C" __global__ void f() {}\n', encoding="utf-8")
    monkeypatch.setattr(host, "_compiler", lambda: None)
    with pytest.raises(CudaError, match="install g\\+\\+"):
        Source(path).launch("f", 1, 1)


def test_variants_are_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fill.cu"
    path.write_text('extern "C" __global__ void fill(int* x) { x[0] = N; }\n', encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    x = np.zeros(1, np.int32)
    for n in (3, 4, 3):
        Source(path).launch("fill", 1, 1, x, defines={"N": n})
        assert x[0] == n
    assert len(list(cached.folder().iterdir())) == 2
    monkeypatch.setattr(host, "_compile", lambda *_: pytest.fail("compiled again"))
    host._library.cache_clear()
    Source(path).launch("fill", 1, 1, x, defines={"N": 4})
    assert x[0] == 4


def test_threads_take_turns_on_other_processors_too(kernels: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_OPTIONS", (*host._OPTIONS, "-DHOST_UCONTEXT"))  # what all but x86-64 do
    host._library.cache_clear()
    try:
        test_many_barriers(kernels)
        test_shuffles_follow_the_programming_guide(kernels)
        test_what_would_hang_a_gpu_is_complained_about(kernels, "two_barriers", 0, "must reach the same one")
    finally:
        host._library.cache_clear()


def test_how_many_blocks_it_takes() -> None:
    assert [blocks(n, 256) for n in (1, 256, 257)] == [1, 1, 2]


SANITIZED = """
import sys
import numpy as np
from pathlib import Path
from tinyconv.kernels.cuda.launcher import Source
source = Source(Path(sys.argv[1]))
x = np.ones(64, np.float32)
y, big, row = np.zeros(64, np.float32), np.zeros(65, np.float32), np.zeros(32, np.float32)
float_ = {"T": "float"}
source.launch("rotate", 1, 64, x, np.int32(10), defines=float_)
source.launch("reverse", 1, 64, x, y, defines=float_)
source.launch("reverse_dynamic", 1, 64, x, y, np.int32(64), shared=256, defines=float_)
assert (y == 1).all()
print("good kernels ran", flush=True)
match sys.argv[2]:
    case "array":
        source.launch("beyond", 1, 65, x, big, defines=float_)
    case "shared":
        source.launch("beyond_shared", 1, 32, row, defines=float_)
    case "dynamic":
        source.launch("reverse_dynamic", 1, 64, x, y, np.int32(66), shared=256, defines=float_)
"""


@pytest.mark.parametrize("what", ["nothing", "array", "shared", "dynamic"])
def test_the_sanitizer_stops_at_a_bad_access(kernels: Source, what: str) -> None:
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(runtime.stdout.strip()).is_absolute() or shutil.which("g++") is None:
        pytest.skip("g++ comes without AddressSanitizer")
    environment = os.environ | {
        "LD_PRELOAD": runtime.stdout.strip(), "TINYCONV_SANITIZE": "address", "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    ended = subprocess.run(
        [sys.executable, "-c", SANITIZED, str(kernels.path), what], env=environment, capture_output=True, text=True,
        check=False,
    )
    assert "good kernels ran" in ended.stdout, ended.stderr
    if what == "nothing":
        assert ended.returncode == 0, ended.stderr
    else:
        assert ended.returncode != 0
        assert "ERROR: AddressSanitizer" in ended.stderr
        assert "kernels.cu:" in ended.stderr
