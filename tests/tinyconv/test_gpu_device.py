"""How the cupy backend speaks to CuPy: with a CuPy made of NumPy, which refuses what a GPU would refuse.

The real one cannot be had without a GPU.  This one has the functions that tinyconv calls, with CuPy's names and
arguments; its kernels run on the host build.  Its arrays are no NumPy arrays and do not mix with them, and while a
stream captures, nothing may be allocated, read or waited for.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import backends, devices, doctor, gpu, plots
from tinyconv.benchmarks import gpu_launches
from tinyconv.errors import BackendError, DataError, StateError
from tinyconv.kernels.cuda import graphs, host, step
from tinyconv.kernels.cuda import source as text_of
from tinyconv.kernels.cuda.problems import CompileError, CudaError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Rescaling
from tinyconv.models import Sequential, load_model
from tinyconv.plots.forward_pass import ForwardPass
from tinyconv.plots.measure import measure_layers
from tinyconv.training.steps import GraphedSteps, PythonSteps, steps_for

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")


class State:
    """What the fake GPU is doing."""

    capturing: list[Callable[[], None]] | None = None
    launched = 0
    most_bytes = 2**30
    allocator: Callable[[int], Any] | None = None
    pinned_bytes = 0

    @classmethod
    def must_not_capture(cls, what: str) -> None:
        assert cls.capturing is None, f"{what} while a graph is captured"


def unwrap(x: Any) -> Any:
    if isinstance(x, tuple | list):
        return type(x)(unwrap(one) for one in x)
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return x._on_device if isinstance(x, FakeArray) else x


class FakeArray:
    """cupy.ndarray, as far as it goes."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._on_device = values
        self.device = SimpleNamespace(id=0)

    dtype = property(lambda self: self._on_device.dtype)
    shape = property(lambda self: self._on_device.shape)
    size = property(lambda self: self._on_device.size)
    ndim = property(lambda self: self._on_device.ndim)
    nbytes = property(lambda self: self._on_device.nbytes)
    flags = property(lambda self: self._on_device.flags)
    data = property(lambda self: SimpleNamespace(ptr=self._on_device.ctypes.data))

    @property
    def __cuda_array_interface__(self) -> Any:
        return self._on_device.__array_interface__

    def __len__(self) -> int:
        return len(self._on_device)

    def __getitem__(self, place: Any) -> "FakeArray":
        return FakeArray(self._on_device[unwrap(place)])

    def __setitem__(self, place: Any, values: Any) -> None:
        State.must_not_capture("assigned from Python")
        self._on_device[unwrap(place)] = unwrap(values)

    def reshape(self, *shape: Any) -> "FakeArray":
        return FakeArray(self._on_device.reshape(*shape))

    def copy(self) -> "FakeArray":
        State.must_not_capture("allocated")
        return FakeArray(self._on_device.copy())

    def astype(self, dtype: Any, copy: bool = True) -> "FakeArray":
        State.must_not_capture("allocated")
        return FakeArray(self._on_device.astype(dtype))

    def mean(self, dtype: Any = None) -> "FakeArray":
        State.must_not_capture("allocated")
        return FakeArray(np.asarray(self._on_device.mean(dtype=dtype)))

    def all(self) -> "FakeArray":
        return FakeArray(np.asarray(self._on_device.all()))

    def __float__(self) -> float:
        State.must_not_capture("waited")
        return float(self._on_device)

    def __bool__(self) -> bool:
        State.must_not_capture("waited")
        return bool(self._on_device)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        State.must_not_capture("a CuPy kernel, which the test does not record, ran")
        if out is not None:
            options["out"] = unwrap(out)
        result = getattr(function, method)(*map(unwrap, inputs), **options)
        return out[0] if out is not None else FakeArray(np.asarray(result))


class FakeOutOfMemoryError(MemoryError):
    pass


class FakeCompileError(Exception):
    pass


class FakeDriverError(RuntimeError):
    pass


class FakeRuntimeError(RuntimeError):
    pass


def empty(shape: Any, dtype: Any = float) -> FakeArray:
    values = np.empty(shape, dtype)
    if State.allocator is not None:
        State.allocator(values.nbytes)
    State.must_not_capture("allocated")
    if values.nbytes > State.most_bytes:
        raise FakeOutOfMemoryError(f"Out of memory allocating {values.nbytes:,} bytes.")
    if values.dtype.kind == "f":
        values.fill(np.nan)
    return FakeArray(values)


def zeros(shape: Any, dtype: Any = float) -> FakeArray:
    result = empty(shape, dtype)
    result._on_device.fill(0)
    return result


def asarray(x: Any) -> FakeArray:
    if isinstance(x, FakeArray):
        return x
    result = empty(np.shape(x), np.asarray(x).dtype)
    result._on_device[...] = x
    return result


def asnumpy(x: Any) -> Any:
    State.must_not_capture("waited")
    return x._on_device.copy()


class FakeStream:
    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking

    def __enter__(self) -> "FakeStream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        State.must_not_capture("captured again")
        State.capturing = []

    def end_capture(self) -> Any:
        launches, State.capturing = State.capturing, None
        assert launches is not None

        def launch() -> None:
            for one in launches:
                one()
            State.launched += 1

        return SimpleNamespace(launch=launch)


class FakeModule:
    """cupy.RawModule of a file that `compile_using_nvrtc` has "compiled" to its own text."""

    def __init__(self, *, path: str) -> None:
        self._path = Path(path)
        self._most_shared: dict[str, int] = {}

    def compile(self) -> None:
        if self._path.read_bytes().startswith(b"broken"):
            raise FakeDriverError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")

    def get_function(self, name: str) -> Any:
        if name not in text_of.kernels(self._path.read_text(encoding="utf-8")):
            raise FakeDriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return FakeFunction(self._path, name, self._most_shared)


class FakeFunction:
    """A kernel; how much shared memory it may have is kept by its module."""

    def __init__(self, path: Path, name: str, most_shared: dict[str, int]) -> None:
        self._path, self._name, self._most_shared = path, name, most_shared

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._most_shared.get(self._name, 48 * 1024)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, most: int) -> None:
        self._most_shared[self._name] = most

    def __call__(self, grid: Any, block: Any, arguments: Any, *, shared_mem: int = 0) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        values = tuple(
            None if isinstance(one, np.uint64) and one == 0 else one._on_device if isinstance(one, FakeArray) else one
            for one in arguments
        )

        def run() -> None:
            host.launch(self._path, self._name, (), grid, block, values, shared_mem)

        if State.capturing is None:
            run()
        else:
            State.capturing.append(run)


def compile_using_nvrtc(
    text: str, options: Any, architecture: str, name: str, *, cache_in_memory: bool = False
) -> tuple[bytes, None]:
    State.must_not_capture("compiled")
    assert architecture == "90"
    assert cache_in_memory or text.isascii()  # a file would be written in the locale's encoding
    assert not any(option.startswith("-D") for option in options)  # they would change NVRTC's own headers
    options += ("-arch=sm_90", "--device-as-default-execution-space")
    if twice := next((option for option in options if options.count(option) > 1), None):
        raise FakeCompileError(f"nvrtc: error: {twice} defined more than once\n")
    if "fails_to_compile" in text:
        raise FakeCompileError(f'{name}(3): error: identifier "what" is undefined\n\n1 error detected\n')
    return text.encode(), None


@contextmanager
def using_allocator(allocator: Callable[[int], Any]) -> Iterator[None]:
    State.allocator = allocator
    try:
        yield
    finally:
        State.allocator = None


def fake_cupy() -> ModuleType:
    module: Any = ModuleType("cupy")
    module.__spec__ = ModuleSpec("cupy", None)
    module.__version__ = "14.0.0"
    module.ndarray, module.RawModule = FakeArray, FakeModule
    module.empty, module.zeros, module.asarray, module.asnumpy = empty, zeros, asarray, asnumpy
    module.ascontiguousarray = lambda x: FakeArray(np.ascontiguousarray(x._on_device))
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13020, getDeviceCount=lambda: 1, getDevice=lambda: 0,
        memGetInfo=lambda: (2**30, 2**31), CUDARuntimeError=FakeRuntimeError,
    )
    module.cuda = SimpleNamespace(
        runtime=runtime, Stream=FakeStream, using_allocator=using_allocator,
        driver=SimpleNamespace(CUDADriverError=FakeDriverError),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        Device=lambda device=0: SimpleNamespace(compute_capability="90"),
        compiler=SimpleNamespace(compile_using_nvrtc=compile_using_nvrtc, CompileException=FakeCompileError),
        get_current_stream=lambda: SimpleNamespace(synchronize=lambda: State.must_not_capture("waited")),
    )
    module.get_default_memory_pool = lambda: SimpleNamespace(
        used_bytes=lambda: 2**20, free_bytes=lambda: 2**21, free_all_blocks=lambda: None
    )
    module.get_default_pinned_memory_pool = lambda: SimpleNamespace(
        free_all_blocks=lambda: setattr(State, "pinned_bytes", 0)
    )
    return module


@pytest.fixture(autouse=True)
def cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    module = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.nvrtc", module.cuda.nvrtc)
    monkeypatch.delitem(sys.modules, "tinyconv.kernels.cuda.gpu", raising=False)
    monkeypatch.setattr(gpu, "cupy_wheels", lambda: ["cupy-cuda13x"])
    monkeypatch.setattr(State, "capturing", None)
    monkeypatch.setattr(State, "launched", 0)
    backends._get.cache_clear()
    import tinyconv.kernels.cuda.gpu as launching  # anew, with this CuPy

    def file(stem: str, suffix: str, made_of: Any, make: Callable[[], bytes], *, anew: bool = False) -> Path:
        digest = hashlib.sha256(repr(tuple(made_of)).encode()).hexdigest()[:24]  # the host build finds it again
        path = tmp_path / f"{stem}-{digest}{suffix}"
        path.write_bytes(make())
        return path

    monkeypatch.setattr(launching, "cached", SimpleNamespace(file=file))
    yield module
    backends._get.cache_clear()
    sys.modules.pop("tinyconv.kernels.cuda.gpu", None)


def net() -> Sequential:
    model = Sequential(
        [
            Rescaling(1 / 255), BatchNormalization(), Conv2D(4, 3, activation="relu"), MaxPooling2D(), Dropout(0.25),
            Flatten(), Dense(8, activation="relu"), Dense(3, activation="softmax"),
        ],
        backend="cupy", seed=1,
    )
    model.build((8, 7, 1))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data() -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (30, 8, 7, 1), np.uint8), generator.integers(0, 3, 30)


def twin(model: Sequential) -> Sequential:
    other = Sequential.from_config(model.get_config() | {"backend": "numpy"})
    other.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    other.set_weights(model.get_weights())
    return other


def test_launches_are_written_down_and_timed_one_by_one() -> None:
    launches = gpu_launches.of_a_step("fashion_perceptron", batch=3, repeats=2)
    assert State.launched == (1 + gpu_launches.ROUNDS * gpu_launches.IN_A_ROW) * len(launches)
    assert [one.kernel for one in launches][-2:] == ["adam, step", "step, finish"]


def test_training_on_a_gpu_is_the_same_as_with_numpy(tmp_path: Path) -> None:
    x, y = data()
    model = net()
    assert isinstance(model.backend.device, devices.Gpu)
    assert isinstance(model.layers[1].parameters[0].value, FakeArray)
    other = twin(model)
    options: dict[str, Any] = {"batch_size": 8, "epochs": 3, "verbose": 0, "validation_data": (x, y)}
    mine, theirs = model.fit(x, y, **options).history, other.fit(x, y, **options).history
    steps = steps_for(model, x, y, 8, None, [], live=False)
    assert isinstance(steps, GraphedSteps)
    assert steps._x.dtype == np.uint8  # data stay as they are, which is a fourth of the memory
    assert State.launched == 3 * 4 - 1  # each size of batches runs once before it is captured, the larger for a trial
    for name in mine:
        assert_allclose(mine[name], theirs[name], rtol=2e-3, err_msg=name)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert isinstance(a, np.ndarray)
        assert_allclose(a, b, rtol=1e-2, atol=1e-4)
    assert_allclose(model.predict(x), other.predict(x), atol=1e-3)
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert_array_equal(again.predict(x), model.predict(x))
    assert again.fit(x, y, batch_size=8, verbose=0).history == model.fit(x, y, batch_size=8, verbose=0).history


def test_steps_one_by_one_and_study_mode() -> None:
    x, y = data()
    model = net()
    other = twin(model)
    for study in (False, True):
        model.fuse = other.fuse = not study
        assert_allclose(model.train_on_batch(x, y), other.train_on_batch(x, y), rtol=1e-3)
    assert_allclose(model.evaluate(x, y, verbose=0), other.evaluate(x, y, verbose=0), rtol=1e-3)
    assert isinstance(model.layers[0].output, np.ndarray)
    dy = np.ones((30, 3), np.float32)
    assert_allclose(model.forward(x, training=True), other.forward(x, training=True), atol=1e-3)
    assert_allclose(model.backward(dy), other.backward(dy), atol=1e-4)


def test_pictures_of_a_model_on_a_gpu() -> None:
    x, _ = data()
    model = net()
    other = twin(model)
    mine, theirs = ForwardPass(model, x[0]), ForwardPass(other, x[0])
    for (_, a), (_, b) in zip(mine.outputs, theirs.outputs, strict=True):
        assert_allclose(a, b, atol=1e-4)
    plots.filters(model.layers[2])
    costs = measure_layers(model, 4, repeats=1)
    assert [(cost.name, cost.forward.nbytes) for cost in costs] == [
        (cost.name, cost.forward.nbytes) for cost in measure_layers(other, 4, repeats=1)
    ]


def test_arrays_on_two_devices_are_refused() -> None:
    model, here = net(), np.ones(4, np.float32)
    there = asarray(here)
    with pytest.raises(ValueError, match=r"out is a numpy array, but the input is a"):
        model.backend.relu.forward(there, out=here)
    with pytest.raises(ValueError, match=r"parameter 2 is numpy.ndarray, but the other arrays are on the GPU"):
        step.affine(there, 1.0, 0.0, out=here)
    with pytest.raises(ValueError, match=r"parameter 2 is an array of float32, but got .*FakeArray"):
        step.affine(here, 1.0, 0.0, out=there)


def test_data_of_a_gpu_are_asked_for_as_numpy_arrays() -> None:
    x, y = data()
    model, dy = net(), np.ones((30, 3), np.float32)
    model.forward(x, training=True)
    for call in (
        lambda: model.predict(asarray(x)), lambda: model.fit(x, asarray(y), verbose=0),
        lambda: model.train_on_batch(x, asarray(y)), lambda: model.test_on_batch(x, asarray(y)),
        lambda: model.backward(asarray(dy)), lambda: plots.sample_grid(asarray(x), y),
        lambda: plots.confusion_matrix(asarray(y), y), lambda: ForwardPass(model, asarray(x[0])),
        lambda: model.fit(x, y, verbose=0, augment=lambda batch, key: asarray(batch)),
        lambda: Dense(3)(asarray(dy)),
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"^(x|y|dy|the image|what augment made) lies on a GPU; give it as a NumPy"):
            call()
    with pytest.raises(DataError, match=r"^x cannot be made a NumPy array: Implicit conversion .* Please use"):
        model.predict([asarray(one) for one in x])


def test_a_kernel_that_does_not_compile_is_told_with_file_and_line(tmp_path: Path) -> None:
    from tinyconv.kernels.cuda.launcher import Source

    path = tmp_path / "wrong.cu"
    path.write_text('extern "C" __global__ void fails_to_compile(float* x) {}\n', encoding="utf-8")
    with pytest.raises(CompileError, match=r'wrong.cu does not compile: wrong.cu\(3\): error: identifier "what"'):
        Source(path).launch("fails_to_compile", 1, 1, asarray(np.ones(1, np.float32)))


def test_a_missing_nvrtc_is_told_when_compiling(tmp_path: Path, cupy: Any) -> None:
    from tinyconv.kernels.cuda.launcher import Source

    def missing(*_: Any, **__: Any) -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.13")

    cupy.cuda.compiler.compile_using_nvrtc = missing
    path = tmp_path / "fine.cu"
    path.write_text('extern "C" __global__ void fine(float* x) {}\n', encoding="utf-8")
    with pytest.raises(CudaError, match=r"NVRTC.*libnvrtc.so.13.*pip install"):
        Source(path).launch("fine", 1, 1, asarray(np.ones(1, np.float32)))


def fine(tmp_path: Path) -> Any:
    """A kernel that needs nothing but to be compiled, loaded and launched."""
    from tinyconv.kernels.cuda.launcher import Source

    path = tmp_path / "fine.cu"
    path.write_text('extern "C" __global__ void fine(float* x) { x[0] += 1; }\n', encoding="utf-8")
    return Source(path)


def test_trouble_with_the_gpu_when_compiling_is_not_blamed_on_nvrtc(tmp_path: Path, cupy: Any) -> None:
    def trouble(*_: Any, **__: Any) -> None:
        raise FakeRuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error encountered")

    cupy.cuda.compiler.compile_using_nvrtc = trouble
    with pytest.raises(CudaError, match=r"^cudaErrorECCUncorrectable: uncorrectable ECC error encountered$"):
        fine(tmp_path).launch("fine", 1, 1, asarray(np.ones(1, np.float32)))


def test_machine_code_that_cannot_be_loaded_is_made_again(
    tmp_path: Path, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tinyconv.kernels.cuda.gpu as launching
    from tinyconv.kernels.cuda import cached

    monkeypatch.setattr(cached, "folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(launching, "cached", cached)
    source, x = fine(tmp_path), asarray(np.ones(1, np.float32))
    source.launch("fine", 1, 1, x)
    (built,) = (tmp_path / "cache").glob("*.cubin")
    good = built.read_bytes()
    built.write_bytes(b"broken")
    launching._kernel.cache_clear()
    launching._module.cache_clear()
    source.launch("fine", 1, 1, x)
    assert float(x[0]) == 3
    assert built.read_bytes() == good


def test_what_the_driver_refuses_to_load_is_told(tmp_path: Path, cupy: Any) -> None:
    x = asarray(np.ones(1, np.float32))
    with pytest.raises(CudaError, match=r"fine.cu, kernel another: CUDA_ERROR_NOT_FOUND"):
        fine(tmp_path).launch("another", 1, 1, x)
    cupy.cuda.compiler.compile_using_nvrtc = lambda *_, **__: (b"broken", None)
    (tmp_path / "worse").mkdir()
    with pytest.raises(CudaError, match=r"fine.cu, kernel fine: CUDA_ERROR_INVALID_IMAGE"):
        fine(tmp_path / "worse").launch("fine", 1, 1, x)


def test_another_nvrtc_compiles_again(tmp_path: Path, cupy: Any) -> None:
    import tinyconv.kernels.cuda.gpu as launching

    source = fine(tmp_path)
    for version in ((12, 4), (12, 9), (12, 4)):
        cupy.cuda.nvrtc.getVersion = lambda version=version: version
        launching._module.cache_clear()
        launching._module(source.path, (), 0)
    assert len(list(tmp_path.glob("*.cubin"))) == 2


def test_a_launch_does_not_take_shared_memory_from_another(tmp_path: Path) -> None:
    source, x = fine(tmp_path), asarray(np.zeros(1, np.float32))
    for kibibytes in (60, 50, 60, 8, 60):
        source.launch("fine", 1, 1, x, shared=kibibytes * 1024)
    assert float(x[0]) == 5


def test_a_capture_that_breaks_does_not_hide_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("the cause")

    def invalidated(stream: FakeStream) -> None:
        State.capturing = None
        raise FakeRuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(FakeStream, "end_capture", invalidated)
    with pytest.raises(ValueError, match="the cause"):
        graphs.capture(fail, like=asarray(np.ones(1)))
    with pytest.raises(FakeRuntimeError, match="Invalidated"):
        graphs.capture(lambda: None, like=asarray(np.ones(1)))


def test_memory_that_a_captured_step_asks_for_is_refused() -> None:
    like = asarray(np.ones(3))
    with pytest.raises(CudaError, match=r"^24 bytes were asked for while a graph was captured"):
        graphs.capture(lambda: empty(3), like=like)


def test_releasing_memory_gives_back_that_for_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "pinned_bytes", 100)
    devices.Gpu().release()
    assert State.pinned_bytes == 0


def test_predict_takes_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = data()
    model = net()
    wanted = model.predict(x)
    model = net()
    monkeypatch.setattr(State, "most_bytes", 10_000)  # of the largest array: the convolution's of ten examples
    assert_allclose(model.predict(x, batch_size=30), wanted, rtol=1e-5)
    monkeypatch.setattr(State, "most_bytes", 100)
    with pytest.raises(BackendError, match=r"too little memory for the prediction of one example: .*1.00 MiB in use"):
        model.predict(x)


def test_a_machine_without_memory_for_one_example_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = data()
    model = twin(net())

    def no_room(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(model, "forward", no_room)
    with pytest.raises(MemoryError, match="no room"):
        model.predict(x)


def test_a_step_that_does_not_fit_says_so_and_the_next_may(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data()
    model = net()
    monkeypatch.setattr(State, "most_bytes", 10_000)
    with pytest.raises(BackendError, match=r"too little memory for training with batch_size=30: Out of memory"):
        model.fit(x, y, batch_size=30, verbose=0)
    model.fit(x, y, batch_size=8, verbose=0)


def test_weights_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "most_bytes", 100)
    with pytest.raises(BackendError, match=r"too little memory for this model's weights and what .*: Out of"):
        net()


def test_an_optimizer_that_does_not_fit_leaves_a_model_that_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = net(), data()
    with monkeypatch.context() as patched:
        patched.setattr(State, "most_bytes", 100)
        with pytest.raises(BackendError, match="for this model's weights"):
            model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(StateError, match="call compile"):
        model.fit(x, y, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)


def test_every_call_that_finds_too_little_memory_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = net(), data()
    model.forward(x[:1], training=True)
    calls: dict[str, Callable[[], Any]] = {
        "a step on this batch": lambda: model.train_on_batch(x, y),
        "the loss of this batch": lambda: model.test_on_batch(x, y),
        "the predictions for this batch": lambda: model.forward(x),
        "an evaluation with batch_size=30": lambda: model.evaluate(x, y, batch_size=30, verbose=0),
        "the prediction of one example": lambda: model.predict(x),
        "another copy of the weights": lambda: model.set_weights(weights),
    }
    weights = model.get_weights()
    for what, call in calls.items():
        with monkeypatch.context() as patched:
            patched.setattr(State, "most_bytes", 60)
            with pytest.raises(BackendError, match=rf"too little memory for {what}: Out of memory .* pooled") as caught:
                call()
        assert isinstance(caught.value, MemoryError)
        assert isinstance(caught.value.__cause__, FakeOutOfMemoryError)
    assert np.isfinite(model.train_on_batch(x, y)).all()


def test_data_that_do_not_fit_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (np.concatenate([one] * 20) for one in data())
    one, other = net(), net()
    wanted = one.fit(x, y, batch_size=8, verbose=0).history
    monkeypatch.setattr(State, "most_bytes", 20_000)
    assert_allclose(other.fit(x, y, batch_size=8, verbose=0).history["loss"], wanted["loss"], rtol=1e-5)


def test_data_that_leave_no_room_for_a_step_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data()
    launch, model, other = GraphedSteps.launch, net(), net()
    wanted = other.fit(x, y, batch_size=8, verbose=0).history

    def too_late(steps: GraphedSteps, n: int) -> None:
        launch(steps, n)
        raise FakeOutOfMemoryError("Out of memory")

    monkeypatch.setattr(GraphedSteps, "launch", too_late)
    before = model.get_weights()
    assert isinstance(steps_for(model, x, y, 8, None, [], live=False), PythonSteps)
    for one, same in zip(before, model.get_weights(), strict=True):  # moving averages, too
        assert_array_equal(one, same)
    assert model.optimizer.iterations == 0
    assert_allclose(model.fit(x, y, batch_size=8, verbose=0).history["loss"], wanted["loss"], rtol=1e-5)


def test_the_doctor_runs_a_kernel(cupy: Any) -> None:
    cupy.arange = lambda n: SimpleNamespace(sum=lambda: n * (n - 1) // 2)
    found = {finding.name: finding for finding in doctor.gpu(["H100"], ["cupy-cuda13x"])}
    assert found["CUDA kernels"].value.startswith("work: one small kernel in")
    assert "2.00 MiB pooled" in found["memory"].value
    assert not any(finding.fix for finding in found.values())
    backends._get.cache_clear()
    cupy.cuda.runtime.memGetInfo = raising("cudaErrorDevicesUnavailable: busy")
    broken = doctor.gpu(["H100"], ["cupy-cuda13x"])[-1]
    assert broken.value == "The GPU is taken by another process (cudaErrorDevicesUnavailable, busy)"
    assert broken.fix.startswith("end that one")


def test_without_the_drivers_tool_cupy_is_asked(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    properties = {"name": b"NVIDIA H100", "totalGlobalMem": 2**31}
    cupy.cuda.runtime.getDeviceProperties = lambda number: properties
    assert doctor.gpus() == ["NVIDIA H100, driver for CUDA 13.0, 2048 MiB"]
    assert doctor.driver_cuda() == 13
    cupy.cuda.runtime.getDeviceCount = raising("cudaErrorNoDevice")
    assert doctor.gpus() == []
    cupy.cuda.runtime.driverGetVersion = raising("cudaErrorInsufficientDriver")
    assert doctor.driver_cuda() is None


@pytest.mark.parametrize(
    ("problem", "value", "fix"),
    [
        (MemoryError(), "find too little memory: MemoryError", "end other programs that use the GPU"),
        (RuntimeError("cudaErrorUnknown: unknown\nmore"), "do not run here: cudaErrorUnknown: unknown", "restart"),
    ],
)
def test_the_doctor_survives_a_gpu_in_trouble(
    problem: Exception, value: str, fix: str, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: devices.Gpu, x: Any) -> None:
        raise problem

    cupy.arange = lambda n: SimpleNamespace(sum=lambda: n * (n - 1) // 2)
    monkeypatch.setattr(devices.Gpu, "asarray", fail)
    found = doctor.gpu(["H100"], ["cupy-cuda13x"])[-1]
    assert (found.name, found.value) == ("CUDA kernels", value)
    assert found.fix.startswith(fix)


def raising(message: str) -> Callable[[], Any]:
    def function() -> Any:
        raise RuntimeError(message)

    return function


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda c, m: m.setattr(gpu, "cupy_wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"]), "installed together"),
        (lambda c, m: setattr(c.cuda.runtime, "driverGetVersion", lambda: 0), "There is no NVIDIA driver"),
        (
            lambda c, m: setattr(c.cuda.runtime, "driverGetVersion", lambda: 12040),
            r"driver knows CUDA 12.4, but CuPy was made for CUDA 13.2: update .*tinyconv\[cuda12\]",
        ),
        (lambda c, m: setattr(c.cuda.runtime, "getDeviceCount", lambda: 0), "has no NVIDIA GPU"),
        (
            lambda c, m: setattr(c.cuda.runtime, "getDeviceCount", raising("cudaErrorNoDevice: none is detected")),
            "has no NVIDIA GPU",
        ),
        (
            lambda c, m: setattr(c.cuda.runtime, "memGetInfo", raising("cudaErrorDevicesUnavailable: busy")),
            "taken by another process",
        ),
        (lambda c, m: setattr(c.cuda.runtime, "memGetInfo", raising("cudaErrorECCUncorrectable")), "no usable GPU"),
        (
            lambda c, m: setattr(sys.modules["cupy_backends.cuda.libs.nvrtc"], "getVersion", raising("libnvrtc.so.13")),
            "NVRTC, which compiles CUDA kernels, cannot be loaded",
        ),
    ],
)
def test_what_is_missing_is_one_sentence(
    break_it: Callable[[Any, Any], None], sentence: str, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(cupy, monkeypatch)
    with pytest.raises(BackendError, match=sentence):
        net()


def test_no_cupy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'needs CuPy, which is not installed: pip install "tinyconv\[cuda13\]"'):
        net()
