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

pytestmark = pytest.mark.skipif(
    not host.available() or "clang" in str(host.compiler_version()), reason="no GCC (g++)"
)

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
KERNEL without_last_lane(const float* x, float* y)
{ if (HERE % 32 == 31) return; y[HERE] = x[HERE]; __syncwarp(); if (HERE % 32 < 30) y[HERE ^ 1] = 2; }
KERNEL without_first_lane(const float* x, float* y)
{ if (HERE % 32 == 0) return; y[HERE] = x[HERE]; __syncwarp(); if (HERE % 32 > 1) y[HERE ^ 1] = 2; }
KERNEL one_thread_in_a_loop(const float* x, float* y)
{ __shared__ float s; if (HERE == 0) s = 1; for (int i = 0; i < 8; i++) if (HERE == 0) s += x[i]; y[HERE] = 0; }
KERNEL quarrel(const float* x, float* y) { if (HERE & 1) __syncwarp(); else __shfl_sync(~0u, 1, 0); y[HERE] = 0; }
KERNEL wide(const float* x, float* y)
{ reinterpret_cast<float4*>(y)[HERE / 4] = {x[0], x[1], x[2], x[3]}; }
KERNEL eights(const float* x, float* y) { reinterpret_cast<double*>(y)[HERE / 2] = x[0]; }
KERNEL twos(const float* x, float* y) { reinterpret_cast<short*>(y)[HERE / 2] = x[0]; }
struct Odd { int numbers[5]; };
KERNEL odd(const float* x, float* y)
{ Odd one = {int(x[0]), 1, 2, 3, int(HERE)}; reinterpret_cast<Odd*>(y)[HERE / 8] = one; }
KERNEL off_by_one(const float* x, float* y)
{ struct __attribute__((packed)) Late { char before; int number; };
  reinterpret_cast<Late*>(y)[HERE / 16].number = 1; if (HERE == 63) y[63] = 0; }
KERNEL reads_again(const float* x, float* y)
{ __shared__ float s; float sum = 0; for (int i = 0; i < 2; i++) { sum += s; y[HERE] = sum; } if (HERE == 1) s = sum; }
KERNEL reads_after_step(const float* x, float* y)
{ __shared__ float s; if (HERE < 2) y[HERE] = s; __syncwarp(); if (HERE == 1) { y[HERE] += s; s = 1; } }
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
    for name in ("reverse", "copy", "by_warp", "one_thread_in_a_loop", "reads_after_step"):
        launch(kernels, name)
    for name in ("without_last_lane", "without_first_lane"):
        for backwards in (False, True):
            arrays = np.ones(64, np.float32), np.zeros(64, np.float32)
            host.launch(kernels.path, name, (), (1, 1, 1), (64, 1, 1), arrays, 0, backwards=backwards)
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
        ("reads_again", "writes byte N of shared memory, which T read"),
        *((name, "writes byte N of parameter 2, which T wrote") for name in ("wide", "eights", "twos", "odd")),
        ("off_by_one", "writes byte 1 of parameter 2, which T wrote"),
    ],
)
def test_a_race_of_threads(kernels: Source, name: str, sentence: str) -> None:
    sentence = sentence.replace("N", r"\d+").replace("T", r"thread \(\d+, 0, 0\)")
    with pytest.raises(CudaError, match=rf"kernel {name}: .*{sentence}, and no __syncthreads\(\) puts the two in"):
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
    with pytest.raises(CudaError, match=sentence + r", and blocks have no order\."):
        launch(kernels, name, grid=2)


def test_lanes_that_wait_in_different_places(kernels: Source) -> None:
    with pytest.raises(CudaError, match=r"warp 0, some lanes wait in a __syncwarp\(\) and others in a shuffle or vote"):
        launch(kernels, "quarrel")


def test_memory_that_was_watched_is_free_again(tmp_path: Path) -> None:
    """Each launch has an array of its own: all together are too many to be watched at once."""
    path = tmp_path / "sparse.cu"
    path.write_text(
        'extern "C" __global__ void sparse(unsigned char* x, int count)\n'
        "{ for (int i = threadIdx.x; i < count; i += blockDim.x) x[i * 4096LL] = 1; }\n"
    )
    arrays = [np.zeros(4096 * 500, np.uint8) for _ in range(10)]
    for x in arrays:
        Source(path).launch("sparse", 1, 64, x, np.int32(500))
    with pytest.raises(CudaError, match="uses too much memory to be watched for races: give it smaller arrays"):
        Source(path).launch("sparse", 1, 64, np.zeros(4096 * 4100, np.uint8), np.int32(4100))
    Source(path).launch("sparse", 1, 64, arrays[0], np.int32(500))


def test_a_kernel_of_many_arrays(tmp_path: Path) -> None:
    x = [np.zeros(1, np.float32) for _ in range(70)]
    for count in (60, 70):
        path = tmp_path / f"many{count}.cu"
        parameters = ", ".join(f"float* x{i}" for i in range(count))
        path.write_text(f'extern "C" __global__ void many{count}({parameters}) {{ x{count - 1}[0] = threadIdx.x; }}\n')
        sentence = "which thread" if count == 60 else "too many parameters to be watched for races"
        with pytest.raises(CudaError, match=sentence):
            Source(path).launch(f"many{count}", 1, 2, *x[:count])


def test_other_settings_are_refused(kernels: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYCONV_SANITIZE", "threads")
    with pytest.raises(CudaError, match=r"^TINYCONV_SANITIZE is 'threads'; it can be address or thread, or"):
        launch(kernels, "copy")


PLAYER = """
extern "C" __global__ void play(const int* script, int length, int* array, int* kept)
{
    __shared__ int shared[2];
    const int threads = gridDim.x * blockDim.x, me = blockIdx.x * blockDim.x + threadIdx.x;
    int sum = 0;
    for (int i = 0; i < length; i++) {
        const int what = script[i * threads + me], place = what / 8 % 8;
        int* const memory = what < 64 ? shared : array;
        unsigned char* const bytes = reinterpret_cast<unsigned char*>(memory);
        switch (what % 8) {
        case 1: __syncthreads(); break;
        case 2: __syncwarp(); break;
        case 3: sum += bytes[place]; break;
        case 4: bytes[place] = 1; break;
        case 5: sum += memory[place / 4]; break;
        case 6: memory[place / 4] = 1; break;
        }
    }
    kept[me] = sum;
}
"""
SYNCTHREADS, SYNCWARP, READ_BYTE, WRITE_BYTE, READ_INT, WRITE_INT = range(1, 7)


BLOCKS, THREADS = 3, 68  # of each block: three warps
ARRAY = 64  # added to what is done to the array instead of shared memory


class Access(NamedTuple):
    """What a thread does to some bytes, and after how many barriers of its block and of its warp."""

    block: int
    thread: int
    writes: bool
    shared: bool
    places: frozenset[int]
    stretch: int
    step: int


def races(script: np.ndarray[Any, Any]) -> bool:
    """By the definition: whether any two accesses race.  The script is (steps, blocks, threads)."""
    accesses = []
    for block in range(BLOCKS):
        stretch, step = 0, 0
        for row in script[:, block]:
            stretch, step = stretch + (row[0] == SYNCTHREADS), step + (row[0] == SYNCWARP)
            for thread in np.flatnonzero(row % 8 >= READ_BYTE):
                what, place = row[thread] % 8, row[thread] // 8 % 8
                places = {place} if what in (READ_BYTE, WRITE_BYTE) else range(place // 4 * 4, place // 4 * 4 + 4)
                writes, shared = what in (WRITE_BYTE, WRITE_INT), row[thread] < ARRAY
                accesses.append(Access(block, thread, writes, shared, frozenset(places), stretch, step))
    return any(one.places & other.places and race(one, other) for one, other in combinations(accesses, 2))


def race(one: Access, other: Access) -> bool:
    """Whether two accesses to one byte do."""
    if one.shared != other.shared or not (one.writes or other.writes):
        return False
    if one.block != other.block:
        return not one.shared
    if one.thread == other.thread or one.stretch != other.stretch:
        return False
    return one.thread // 32 != other.thread // 32 or one.step == other.step


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("many", [False, True], ids=["one block", "blocks"])
def test_programs_race_as_the_definition_says(tmp_path: Path, many: bool, backwards: bool) -> None:
    path, rng, found = tmp_path / "play.cu", np.random.default_rng(many), []
    path.write_text(PLAYER, encoding="utf-8")
    array, kept = np.zeros(2, np.int32), np.zeros(BLOCKS * THREADS, np.int32)
    for _ in range(800):
        script = np.zeros((rng.integers(2, 9), BLOCKS, THREADS), np.int32)
        for row in script:
            for block in range(BLOCKS if many else 1):
                if rng.random() < 0.4:
                    row[block] = rng.choice([SYNCTHREADS, SYNCWARP, SYNCWARP])
                    continue
                some = rng.choice([0, 1, 2, 31, 32, 33, 66, 67], rng.integers(1, 3 if many else 4), replace=False)
                kinds = rng.choice([READ_BYTE, READ_BYTE, READ_INT, READ_INT, WRITE_BYTE, WRITE_INT], len(some))
                if many:  # mostly readers, or nearly all of them would race
                    kinds = np.where(rng.random(len(some)) < 0.9, READ_BYTE, kinds)
                row[block, some] = kinds + 8 * rng.integers(0, 8, len(some)) + ARRAY * rng.integers(0, 2, len(some))
        arguments = script, np.int32(len(script)), array, kept
        try:
            host.launch(path, "play", (), (BLOCKS, 1, 1), (THREADS, 1, 1), arguments, 0, backwards=backwards)
            found.append(False)
        except CudaError as problem:
            found.append("order" in str(problem))
        assert found[-1] == races(script), script[:, :, [0, 1, 2, 31, 32, 33, 66, 67]]
    assert 100 < sum(found) < 700
