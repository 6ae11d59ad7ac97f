"""How the host build finds races: kernels that have one, kernels that have none, and any number of small programs."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinyconv.kernels.cuda import host
from tinyconv.kernels.cuda.launcher import Source
from tinyconv.kernels.cuda.problems import CudaError

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

KERNELS = """
#define HERE threadIdx.x
KERNEL reverse(const float* x, float* y)
{ __shared__ float s[64]; s[HERE] = x[HERE]; __syncthreads(); y[HERE] = s[63 - HERE]; }
KERNEL reads_too_early(const float* x, float* y)
{ __shared__ float s[64]; s[HERE] = x[HERE]; y[HERE] = s[63 - HERE]; }
KERNEL writes_too_early(const float* x, float* y)
{ __shared__ float s[64]; s[HERE] = x[HERE]; __syncthreads(); float v = s[63 - HERE]; s[HERE] = v; y[HERE] = v; }
template <class V>
__device__ V all_of_them(V value)
{ __shared__ V sum; if (HERE == 0) sum = 0; __syncthreads(); sum += value; __syncthreads(); return sum; }
KERNEL adds_without_order(const float* x, float* y) { y[HERE] = all_of_them(x[HERE]); }
KERNEL reverse_dynamic(const float* x, float* y)
{ extern __shared__ float s[]; s[HERE] = x[HERE]; y[HERE] = s[63 - HERE]; }
KERNEL copy(const float* x, float* y) { y[HERE] = x[HERE]; }
KERNEL copy_of_block(const float* x, float* y) { int i = blockIdx.x * 32 + HERE; y[i] = x[i]; }
KERNEL from_block_before(const float* x, float* y)
{ int i = blockIdx.x * 32 + HERE; y[i] = x[i] + (blockIdx.x ? y[i - 32] : 0); }
KERNEL to_block_before(float* x, float* y)
{ if (blockIdx.x) y[HERE] = 1; else x[HERE] = y[HERE]; }
KERNEL bytes(const unsigned char* x, unsigned char* y) { y[HERE] = x[HERE]; }
KERNEL neighbours_byte(const unsigned char* x, unsigned char* y) { y[HERE] = x[HERE]; y[HERE ^ 1] = 0; }
KERNEL shuffled(const float* x, float* y)
{ y[HERE] = x[HERE]; float v = __shfl_xor_sync(~0u, x[HERE], 1); y[HERE ^ 1] = v; }
KERNEL by_warp(const float* x, float* y) { y[HERE] = x[HERE]; __syncwarp(); y[HERE ^ 1] = x[HERE]; }
KERNEL beyond_warp(const float* x, float* y) { y[HERE] = x[HERE]; __syncwarp(); y[HERE ^ 32] = x[HERE]; }
"""


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TINYCONV_SANITIZE", "thread")
    host._library.cache_clear()
    yield
    host._library.cache_clear()


@pytest.fixture
def kernels(tmp_path: Path) -> Source:
    path = tmp_path / "kernels.cu"
    path.write_text(KERNELS.replace("KERNEL ", 'extern "C" __global__ void '), encoding="utf-8")
    return Source(path)


def launch(kernels: Source, name: str, grid: int = 1, dtype: Any = np.float32, shared: int = 0) -> None:
    kernels.launch(name, grid, 64 if grid == 1 else 32, np.ones(64, dtype), np.zeros(64, dtype), shared=shared)


def test_kernels_without_a_race(kernels: Source) -> None:
    for name in ("reverse", "copy", "by_warp"):
        launch(kernels, name)
    launch(kernels, "bytes", dtype=np.uint8)
    launch(kernels, "copy_of_block", grid=2)
    x = np.ones(64, np.float32)
    kernels.launch("copy", 1, 64, x, x)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reads_too_early", "writes byte N of shared memory, which T read"),
        ("writes_too_early", "reads byte N of shared memory, which T wrote"),
        ("adds_without_order", "reads byte N of shared memory, which T wrote"),
        ("shuffled", "writes byte N of parameter 2, which T wrote"),
        ("beyond_warp", "writes byte N of parameter 2, which T wrote"),
    ],
)
def test_a_race_of_threads(kernels: Source, name: str, sentence: str) -> None:
    sentence = sentence.replace("N", r"\d+").replace("T", r"thread \(\d+, 0, 0\)")
    with pytest.raises(CudaError, match=rf"kernel {name}: .*{sentence}: a __syncthreads\(\) must lie in between"):
        launch(kernels, name)


def test_a_race_in_dynamic_memory_and_of_single_bytes(kernels: Source) -> None:
    with pytest.raises(CudaError, match=r"thread \(32, 0, 0\) writes byte 128 of shared memory"):
        launch(kernels, "reverse_dynamic", shared=256)
    with pytest.raises(CudaError, match=r"thread \(1, 0, 0\) writes byte 1 of parameter 2, which thread \(0, 0, 0\)"):
        launch(kernels, "neighbours_byte", dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("copy", r"block \(1, 0, 0\), thread \(0, 0, 0\) writes byte 0 of parameter 2, which another block wrote"),
        ("from_block_before", r"block \(1, 0, 0\), thread \(0, 0, 0\) reads byte 0 .*, which another block wrote"),
        ("to_block_before", r"block \(1, 0, 0\), thread \(0, 0, 0\) writes byte 0 .*, which another block read"),
    ],
)
def test_a_race_of_blocks(kernels: Source, name: str, sentence: str) -> None:
    with pytest.raises(CudaError, match=sentence + r": blocks have no order\."):
        launch(kernels, name, grid=2)


def test_other_settings_are_refused(kernels: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYCONV_SANITIZE", "threads")
    with pytest.raises(CudaError, match=r"^TINYCONV_SANITIZE is 'threads'; it can be address or thread, or"):
        launch(kernels, "copy")


PLAYER = """
extern "C" __global__ void play(const int* script, int length, int* kept)
{
    __shared__ int memory[2];
    unsigned char* const bytes = reinterpret_cast<unsigned char*>(memory);
    int sum = 0;
    for (int i = 0; i < length; i++) {
        const int what = script[i * blockDim.x + threadIdx.x], place = what / 8;
        switch (what % 8) {
        case 1: __syncthreads(); break;
        case 2: __syncwarp(); break;
        case 3: sum += bytes[place]; break;
        case 4: bytes[place] = 1; break;
        case 5: sum += memory[place / 4]; break;
        case 6: memory[place / 4] = 1; break;
        }
    }
    kept[threadIdx.x] = sum;
}
"""
SYNCTHREADS, SYNCWARP, READ_BYTE, WRITE_BYTE, READ_INT, WRITE_INT = range(1, 7)


class Access(NamedTuple):
    """What a thread does to some bytes, and after how many barriers of the block and of the warp."""

    thread: int
    writes: bool
    places: frozenset[int]
    stretch: int
    step: int


def races(script: np.ndarray[Any, Any]) -> bool:
    """By the definition: whether any two accesses race.  The script is (steps, threads)."""
    accesses, stretch, step = [], 0, 0
    for row in script:
        stretch, step = stretch + (row[0] == SYNCTHREADS), step + (row[0] == SYNCWARP)
        for thread, (place, what) in enumerate(zip(*divmod(row, 8), strict=True)):
            if what >= READ_BYTE:
                places = {place} if what in (READ_BYTE, WRITE_BYTE) else range(place // 4 * 4, place // 4 * 4 + 4)
                accesses.append(Access(thread, what in (WRITE_BYTE, WRITE_INT), frozenset(places), stretch, step))
    return any(
        one.thread != other.thread and (one.writes or other.writes) and one.places & other.places
        and one.stretch == other.stretch and (one.thread // 32 != other.thread // 32 or one.step == other.step)
        for one, other in combinations(accesses, 2)
    )  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
def test_programs_race_as_the_definition_says(tmp_path: Path, backwards: bool) -> None:
    path, rng, found = tmp_path / "play.cu", np.random.default_rng(0), []
    path.write_text(PLAYER, encoding="utf-8")
    threads, kept = 68, np.zeros(68, np.int32)  # three warps
    for _ in range(600):
        script = np.zeros((rng.integers(2, 9), threads), np.int32)
        for row in script:
            if rng.random() < 0.4:
                row[:] = rng.choice([SYNCTHREADS, SYNCWARP, SYNCWARP])
            else:
                some = rng.choice([0, 1, 2, 31, 32, 33, 66, 67], rng.integers(1, 4), replace=False)
                kinds = rng.choice([READ_BYTE, READ_BYTE, READ_INT, READ_INT, WRITE_BYTE, WRITE_INT], len(some))
                row[some] = kinds + 8 * rng.integers(0, 8, len(some))
        try:
            host.launch(
                path, "play", (), (1, 1, 1), (threads, 1, 1), (script, np.int32(len(script)), kept), 0,
                backwards=backwards,
            )
            found.append(False)
        except CudaError as problem:
            found.append("must lie in between" in str(problem))
        assert found[-1] == races(script), script[:, [0, 1, 2, 31, 32, 33, 66, 67]]
    assert 100 < sum(found) < 500
