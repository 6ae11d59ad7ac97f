"""All CUDA kernels at once: they do not depend on the order of threads and blocks, and GPUs have registers for them.

The host build can reverse the order, and it can watch for races (races.cuh): for two threads that use the same memory,
one of them to write it, with nothing to put them in order.  A test takes each barrier away to see that this is noticed.
"""

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tinyconv import gpu
from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.cuda import host, source, step
from tinyconv.kernels.cuda.launcher import Source
from tinyconv.kernels.cuda.problems import CudaError
from tinyconv.kernels.registry import RUNGS, implementation

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

Array = np.ndarray[Any, Any]
Results = Iterator[Array]

KERNELS = source.FOLDER.parent
KEY = PhiloxKey(1, 2, 3)
WINDOWS = {"strides": (1, 2), "padding": ((1, 1), (1, 0)), "dilation": (1, 1)}
POOL = {"pool_strides": (2, 2), "pool_padding": ((0, 1), (0, 0))}
NUMBERS = {"step_size": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "decay": 0.01}


def numbers(*shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def activation(rung: ModuleType) -> Results:
    yield (y := rung.forward(x := numbers(19, 300)))
    yield rung.backward(x, y)


def pool(rung: ModuleType) -> Results:
    x, geometry = numbers(3, 9, 8, 12), {"strides": (1, 2), "padding": ((1, 0), (0, 1))}
    results = rung.forward(x, (3, 2), **geometry)
    yield from (results if isinstance(results, tuple) else (results,))
    if isinstance(results, tuple):
        yield rung.backward(*results, x.shape, (3, 2), **geometry)
    else:
        yield rung.backward(results, x.shape, (3, 2), **geometry)


def loss(rung: ModuleType) -> Results:
    yield from rung.loss_and_gradient(z := numbers(33, 70), np.abs(z))
    if "softmax" in rung.__name__:
        yield from rung.loss_and_gradient(z, np.arange(33))


def batch_normalisation(rung: ModuleType) -> Results:
    for shape in ((5, 3), (300, 40)):  # one chunk, and several
        x, gamma = numbers(*shape), numbers(shape[-1])
        yield from (results := rung.forward_training(x, gamma, gamma, 1e-3))
        yield from rung.backward(results[0], x, gamma, *results[1:], 1e-3)


def dropout(rung: ModuleType) -> Results:
    yield rung.forward(numbers(5003), 0.3, KEY)


def philox(rung: ModuleType) -> Results:
    yield rung.bits(KEY, 3001, offset=3)


def adam(rung: ModuleType) -> Results:
    state = numbers(4, 2003)
    state[3] **= 2
    rung.step(*state, **NUMBERS)
    yield state


def sgd(rung: ModuleType) -> Results:
    state = numbers(3, 2003)
    rung.step(*state, learning_rate=0.1, momentum=0.9, nesterov=True)
    yield state


def dense(rung: ModuleType, **options: Any) -> Results:
    for n, features, units in ((7, 130, 10), (70, 33, 65), (36, 72, 40), (520, 9, 7)):  # the last is summed in parts
        x, w, b = numbers(n, features), numbers(features, units), numbers(units)
        yield (y := rung.forward(x, w, b, **options))
        dy = numbers(*y.shape)  # not y: what tensor cores round it to may depend on its last bit
        yield rung.backward_input(dy, w, **options)
        yield from rung.backward_weights(x, dy, **options)


def convolution(rung: ModuleType, **options: Any) -> Results:
    for channels, filters in ((1, 6), (8, 20)):
        x, w, b = numbers(2, 11, 9, channels), numbers(3, 3, channels, filters), numbers(filters)
        yield (y := rung.forward(x, w, b, **WINDOWS, **options))
        dy = numbers(*y.shape)
        yield rung.backward_input(dy, w, x.shape, **WINDOWS, **options)
        yield from rung.backward_weights(x, dy, w.shape, **WINDOWS, **options)


def convolution_and_pool(rung: ModuleType) -> Results:
    x, w, b = numbers(2, 11, 9, 4), numbers(3, 3, 4, 12), numbers(12)
    for size in ((2, 2), (2, 1), (3, 2)):  # quarters, other places, windows that overlap
        y, winners = rung.forward(x, w, b, size, **WINDOWS, **POOL)
        yield from (y, winners, *rung.backward(y, winners, x, w, size, **WINDOWS, **POOL))


def training_step() -> Results:
    """What a captured step does besides the operations."""
    images, labels = np.arange(600, dtype=np.uint8).reshape(40, 15), np.arange(40)
    batch, targets, losses, logits = numbers(30, 15), np.zeros(30, np.int64), numbers(30), numbers(30, 7)
    now = step.Clock(
        np.array([5, 1, 9]), np.arange(40, dtype=np.int32)[::-1].copy(), np.arange(6.0).reshape(3, 2), np.zeros(2),
        np.zeros(1, np.uint32), np.zeros(2),
    )
    step.begin(now, images, batch, labels, targets)
    w, dw = numbers(2, 9001)
    step.penalise(w, dw, 0.1, 0.2, parts := np.zeros(step.parts_of(w)))
    step.clip(w, 0.5)
    step.shorten(dw, 2.0, np.zeros(step.parts_of(dw)))
    yield from (w, dw, parts)
    step.finish(losses, logits, labels.astype(np.int32), now, parts)
    yield from (*now, batch, targets)
    yield step.affine(batch, 2, 1, out=batch)
    step.follow(losses, logits[:, 0], 0.9)
    yield losses


CALLS: dict[str, Callable[..., Results]] = {
    "relu": activation, "sigmoid": activation, "tanh": activation, "softmax": activation, "maxpool2d": pool,
    "avgpool2d": pool, "softmax_cross_entropy": loss, "sigmoid_cross_entropy": loss, "batchnorm": batch_normalisation,
    "dropout": dropout, "philox": philox, "adam": adam, "sgd": sgd, "dense": dense, "conv2d": convolution,
    "conv_relu_maxpool": convolution_and_pool,
}
NO_GPU = gpu.find_problem()
CUDA = [(operation, name) for operation in CALLS for name in RUNGS[operation] if name.startswith("cuda")]
TENSOR_CORES = [(operation, {"precision": bits}) for operation in ("dense", "conv2d") for bits in ("tf32", "bf16")]


def everything() -> Iterator[tuple[str, Callable[[], Results]]]:
    """What calls each kernel, with a name."""
    yield "a step of training", training_step
    for operation, name in CUDA:
        yield f"{operation}, {name}", partial(CALLS[operation], implementation(operation, name))
    for operation, options in TENSOR_CORES:
        yield f"{operation}, {options}", partial(CALLS[operation], implementation(operation, "cuda"), **options)


EVERYTHING = dict(everything())


def results(operation: str, rung: ModuleType, **options: Any) -> list[bytes]:
    """The bits of all that a rung of an operation computes for certain inputs."""
    return [result.tobytes() for result in CALLS[operation](rung, **options)]


def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "launch", partial(host.launch, backwards=True))


every_rung = pytest.mark.parametrize(("operation", "name"), CUDA, ids=lambda part: part)


def test_every_operation_is_here() -> None:
    assert CALLS.keys() == RUNGS.keys()


@every_rung
def test_same_bits_in_either_order(operation: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = implementation(operation, name)
    forwards = results(operation, rung)
    assert len(forwards) > 0
    backwards(monkeypatch)
    assert results(operation, rung) == forwards


def test_blocks_run_in_either_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "order.cu"
    path.write_text(
        'extern "C" __global__ void order(int* count, int* y)\n'
        "{ y[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = (*count)++; }\n"
    )
    count, y = np.zeros(1, np.int32), np.zeros(24, np.int32)
    Source(path).launch("order", (4, 3, 2), 1, count, y)
    np.testing.assert_array_equal(y, np.arange(24))
    backwards(monkeypatch)
    count[:] = 0
    Source(path).launch("order", (4, 3, 2), 1, count, y)
    np.testing.assert_array_equal(y, np.arange(24)[::-1])


def test_every_kernel_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called, launch = set(), host.launch

    def spy(path: Path, kernel: str, *arguments: Any) -> None:
        called.add((path.name, kernel))
        launch(path, kernel, *arguments)

    monkeypatch.setattr(host, "launch", spy)
    for call in EVERYTHING.values():
        assert len(list(call())) > 0
    there = {(path.name, name) for path in KERNELS.rglob("*.cu") for name in source.kernels(source.read(path))}
    assert called == there


@pytest.fixture
def watched_for_races(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if "clang" in str(host.compiler_version()):
        pytest.skip("no GCC")
    monkeypatch.setenv("TINYCONV_SANITIZE", "thread")
    host._library.cache_clear()
    yield
    host._library.cache_clear()


@pytest.mark.usefixtures("watched_for_races")
def test_no_races() -> None:
    for name, call in EVERYTHING.items():
        try:
            deque(call(), maxlen=0)
        except CudaError as problem:
            raise AssertionError(f"{name}: {problem}") from problem


BARRIER = "__syncthreads();"
BARRIERS = [
    (path.name, number)
    for path in sorted({*KERNELS.rglob("*.cu"), *KERNELS.rglob("*.cuh")} - {host.HEADER, host.RACES})
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    if BARRIER in line
]


@pytest.mark.usefixtures("watched_for_races")
@pytest.mark.parametrize("barrier", BARRIERS, ids="{0[0]}:{0[1]}".format)
def test_a_forgotten_barrier_is_a_race(barrier: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one `__syncthreads()` out of the kernels."""
    read, places = source.read, []

    def without(path: Path) -> str:
        lines, place = [], ("", 0)
        for line in read(path).splitlines():
            here = re.fullmatch(r'#line (\d+) "(.+)"', line)
            if here is None and place == barrier:
                places.append(path)
                lines.append(line.replace(BARRIER, ";"))
            else:
                lines.append(line)
            place = (place[0], place[1] + 1) if here is None else (here[2], int(here[1]))
        return "\n".join(lines) + "\n"

    monkeypatch.setattr(source, "read", without)
    with pytest.raises(CudaError, match=r"no __syncthreads\(\) puts the two in order"):
        deque((result for call in EVERYTHING.values() for result in call()), maxlen=0)
    assert places


@pytest.mark.slow
def test_nothing_beside_an_array_is_touched() -> None:
    """The first test above once more, with kernels that AddressSanitizer watches."""
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    if not Path(runtime.strip()).is_absolute():
        pytest.skip("g++ comes without AddressSanitizer")
    watched = {
        "LD_PRELOAD": runtime.strip(), "TINYCONV_SANITIZE": "address", "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "same_bits"]
    ended = subprocess.run(command, env=os.environ | watched, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(CUDA)} passed" in ended.stdout


class OnDevice:
    """A rung whose functions move the NumPy arrays they are given to the GPU, and the results and arrays back."""

    def __init__(self, rung: ModuleType, cupy: Any) -> None:
        self._rung, self._cupy = rung, cupy
        self.__name__ = rung.__name__

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def function(*arguments: Any, **options: Any) -> Any:
            there = [self._cupy.asarray(one) if isinstance(one, np.ndarray) else one for one in arguments]
            result = getattr(self._rung, name)(*there, **options)
            for before, after in zip(arguments, there, strict=True):
                if isinstance(before, np.ndarray):
                    before[...] = after.get()
            if isinstance(result, tuple):
                return tuple(map(self._cupy.asnumpy, result))
            return None if result is None else self._cupy.asnumpy(result)

        return function


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU is not None, reason=str(NO_GPU))
@every_rung
def test_on_a_gpu(operation: str, name: str) -> None:
    """The same as on the host build, up to rounding; the same bits every time."""
    import cupy

    rung = implementation(operation, name)
    once, twice = (list(CALLS[operation](OnDevice(rung, cupy))) for _ in range(2))
    for one, other, expected in zip(once, twice, CALLS[operation](rung), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU is not None, reason=str(NO_GPU))
@pytest.mark.parametrize(("operation", "options"), TENSOR_CORES)
def test_tensor_cores_of_a_gpu(operation: str, options: dict[str, str]) -> None:
    """The host build rounds what is multiplied to the same numbers; in which order they are added is not said."""
    import cupy

    if int(cupy.cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no tensor cores for tf32 and bf16")
    rung = implementation(operation, "cuda")
    once, twice = (list(CALLS[operation](OnDevice(rung, cupy), **options)) for _ in range(2))
    for one, other, expected in zip(once, twice, CALLS[operation](rung, **options), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


ARCHITECTURES = (75, 80, 90)


def variants_of(call: Callable[[], Results], monkeypatch: pytest.MonkeyPatch) -> set[tuple[Path, source.Defines]]:
    """Every variant of a .cu file that `call` launches."""
    variants, launch = set(), host.launch

    def note_and_launch(path: Path, kernel: str, macros: source.Defines, *rest: Any) -> None:
        variants.add((path, macros))
        launch(path, kernel, macros, *rest)

    monkeypatch.setattr(host, "launch", note_and_launch)
    deque(call(), maxlen=0)
    return variants


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no CUDA compiler (nvcc)")
@pytest.mark.parametrize("name", [name for name in EVERYTHING if "precision" not in name])
def test_compiles_for_gpus_without_spilling(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None puts what belongs in registers into memory; for tensor cores, see test_cuda_gemm."""
    variants = variants_of(EVERYTHING[name], monkeypatch)
    files = [f"{path.stem}_{number}.cu" for number, (path, _) in enumerate(variants)]
    for file, (path, macros) in zip(files, variants, strict=True):
        (tmp_path / file).write_text(source.variant(path, macros), encoding="utf-8")
    architectures = [f"-gencode=arch=compute_{one},code=sm_{one}" for one in ARCHITECTURES]
    command = ["nvcc", "-std=c++17", "-fatbin", "-Xptxas=-v", *architectures, *files]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    spilled = re.findall(r"(\d+) bytes spill stores", ended.stderr)
    assert len(spilled) >= len(ARCHITECTURES) * len(variants) > 0
    assert set(spilled) == {"0"}, ended.stderr


@pytest.mark.parametrize("name", EVERYTHING)
def test_nvrtc_compiles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same variants, as `gpu` has them compiled: with CuPy and NVRTC, but without a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns that there is no CUDA
        cupy = pytest.importorskip("cupy", exc_type=ImportError)
        from tinyconv.kernels.cuda import gpu as launching
    if no_nvrtc := gpu._compiler():
        pytest.skip(no_nvrtc)
    compiler = cupy.cuda.compiler  # which would ask the driver
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch: (f"-arch=sm_{arch}", "cubin"))
    for path, macros in variants_of(EVERYTHING[name], monkeypatch):
        assert launching.compile_for(path, macros, "90").startswith(b"\x7fELF")
