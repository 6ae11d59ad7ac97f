"""backend="cupy" as a whole: the same training as with NumPy.

Its kernels are compiled for the processor, so that this runs anywhere; `-m gpu` runs the same on a GPU.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import backends, callbacks, devices, gpu, losses, optimizers, regularizers, schedules
from tinyconv.errors import ArgumentError, DivergedError
from tinyconv.kernels.cuda import graphs, host
from tinyconv.kernels.cuda.problems import CudaError
from tinyconv.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
)
from tinyconv.models import Sequential, load_model
from tinyconv.training.steps import GraphedSteps, PythonSteps, steps_for

SHAPE = (10, 9, 1)
CLASSES = 4


NO_GPU = gpu.find_problem()
DEVICES = ["host"] if NO_GPU else ["host", pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True, params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "host" and not host.available():
        pytest.skip("no C++ compiler (g++)")
    with backends.cuda_on_host() if request.param == "host" else nullcontext():
        yield request.param


def data(n: int = 70, dtype: str = "uint8", classes: int = CLASSES) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (n, *SHAPE), np.uint8)
    y = generator.integers(0, classes, n)
    for i, label in enumerate(y):
        x[i, 2 * label : 2 * label + 3] //= 4  # something to learn
    return x if dtype == "uint8" else (x / 255).astype(dtype), y


def course_net() -> list[Layer]:
    return [
        Rescaling(1 / 255), Conv2D(4, 3, activation="relu"), Conv2D(6, 3, activation="relu"), MaxPooling2D(),
        Dropout(0.25), Flatten(), Dense(16, activation="relu"), Dropout(0.5), Dense(CLASSES, activation="softmax"),
    ]


NETS: dict[str, Callable[[], list[Layer]]] = {
    "course": course_net,
    "pooled": lambda: [
        Rescaling(1 / 255, offset=-0.5), Conv2D(5, (2, 3), padding="same", activation="relu"),
        MaxPooling2D(2, padding="same"), Conv2D(4, 2, use_bias=False), ReLU(), MaxPooling2D((2, 1)), Flatten(),
        Dense(CLASSES), Activation("softmax"),
    ],
    "normalised": lambda: [
        Rescaling(1 / 255), Conv2D(4, 3, strides=2), BatchNormalization(momentum=0.5), Activation("tanh"),
        AveragePooling2D(2), GlobalAveragePooling2D(), Dense(8, activation="sigmoid"),
        Dense(CLASSES, activation="softmax"),
    ],
}


def build(
    rows: list[Layer], backend: str = "cupy", optimizer: Any = "adam", loss: Any = None, **options: Any
) -> Sequential:
    model = Sequential(rows, backend=backend, seed=3, **options)
    model.build(SHAPE)
    model.compile(optimizer, loss or "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model: Sequential, x: Any, y: Any, **options: Any) -> Any:
    return model.fit(x, y, **{"batch_size": 16, "epochs": 3, "verbose": 0} | options).history


def test_the_backend_runs_on_the_host_only_inside_of_the_context(device: str) -> None:
    assert isinstance(backends.get("cupy").device, devices.Gpu) == (device == "gpu")
    assert backends.get("cupy").device.captures
    assert backends.get("numpy").device is devices.HOST


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU is not None, reason=str(NO_GPU))
def test_there_is_a_gpu_and_all_tests_here_run_on_it(device: str) -> None:
    assert len(DEVICES) == 2


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "study"])
def test_training_is_the_same_as_with_numpy(net: str, fuse: bool) -> None:
    x, y = data()
    here, there = build(NETS[net](), fuse=fuse), build(NETS[net](), "numpy", fuse=fuse)
    for batch in range(6):
        rows = slice(10 * batch, 10 * batch + 10)
        assert_allclose(here.train_on_batch(x[rows], y[rows]), there.train_on_batch(x[rows], y[rows]), rtol=1e-4)
    for mine, theirs in zip(here.get_weights(), there.get_weights(), strict=True):
        assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert_allclose(here.predict(x), there.predict(x), rtol=1e-3, atol=1e-4)


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: optimizers.Adam(schedules.OneCycle(0.01, total_steps=15)),
    "adamw": lambda: optimizers.AdamW(0.01),
    "sgd": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "clipvalue": lambda: optimizers.Adam(0.01, clipvalue=0.01),
    "clipnorm": lambda: optimizers.Adam(0.01, clipnorm=0.1),
    "global clipnorm": lambda: optimizers.SGD(0.05, global_clipnorm=0.2),
    "sgd with decay": lambda: optimizers.SGD(schedules.OneCycle(0.05, total_steps=15), weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_graphs_change_no_number(optimizer: str) -> None:
    x, y = data()
    graphed, python, numpy = (
        build(course_net(), backend, OPTIMIZERS[optimizer]()) for backend in ("cupy", "cupy", "numpy")
    )
    assert isinstance(steps_for(graphed, x, y, 16, None, [], live=False), GraphedSteps)
    a, b, c = fit(graphed, x, y), fit(python, x, y, callbacks=Watching()), fit(numpy, x, y)
    for name in a:
        assert_allclose(a[name], b[name], rtol=1e-6, err_msg=name)
        assert_allclose(a[name], c[name], rtol=1e-3, err_msg=name)
    for mine, theirs in zip(graphed.get_weights(), python.get_weights(), strict=True):
        assert_array_equal(mine, theirs)
    assert graphed.optimizer.iterations == 15
    assert graphed.evaluate(x, y, verbose=0) == python.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("outputs", [1, CLASSES])
def test_graphs_of_logits(outputs: int) -> None:
    kind = losses.BinaryCrossentropy if outputs == 1 else losses.CategoricalCrossentropy
    rows = [*course_net()[:-1], Dense(outputs)]
    x, y = data()
    y = y % 2 if outputs == 1 else y
    one, other = (build(copy.deepcopy(rows), name, loss=kind(from_logits=True)) for name in ("cupy", "numpy"))
    graphed = isinstance(steps_for(one, x, y, 16, None, [], live=False), GraphedSteps)
    assert graphed == (outputs > 1)  # the metric's threshold is 0.5, which is for probabilities
    a, b = fit(one, x, y), fit(other, x, y)
    for name in a:
        assert_allclose(a[name], b[name], rtol=1e-3, err_msg=name)


class Watching(callbacks.Callback):
    """Wants to see each step, which no graph shows."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def on_train_batch_end(self, batch: int, logs: callbacks.Logs) -> None:
        self.batches.append(batch)


def test_a_callback_that_watches_steps_sees_each() -> None:
    x, y = data()
    watching = Watching()
    fit(build(course_net()), x, y, callbacks=watching, epochs=2)
    assert watching.batches == [0, 1, 2, 3, 4] * 2


def test_two_runs_have_the_same_bits() -> None:
    x, y = data()
    one, other = build(course_net()), build(course_net())
    assert fit(one, x, y) == fit(other, x, y)
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(mine, theirs)


def test_a_hundred_steps_stay_close_to_numpy() -> None:
    x, y = data(200)
    a = fit(build(course_net(), optimizer=optimizers.Adam(0.002)), x, y, batch_size=8, epochs=4)
    b = fit(build(course_net(), "numpy", optimizer=optimizers.Adam(0.002)), x, y, batch_size=8, epochs=4)
    assert_allclose(a["loss"], b["loss"], atol=1e-3)


def test_the_order_of_blocks_and_threads_changes_no_bit(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "gpu":
        pytest.skip("a GPU has an order of its own")
    x, y = data(40)
    forwards, reverse = build(NETS["normalised"]()), build(NETS["normalised"]())
    fit(forwards, x, y, epochs=2)
    monkeypatch.setattr(host, "launch", partial(host.launch, backwards=True))
    fit(reverse, x, y, epochs=2)
    for mine, theirs in zip(forwards.get_weights(), reverse.get_weights(), strict=True):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_and_labels_of_every_kind(dtype: str) -> None:
    x, y = data(40, dtype)
    rows = course_net()[1:]
    for labels in (y, y.reshape(-1, 1), np.eye(CLASSES)[y]):
        a = fit(build(copy.deepcopy(rows), dtype=dtype), x, labels)
        b = fit(build(copy.deepcopy(rows), "numpy", dtype=dtype), x, labels)
        assert_allclose(a["loss"], b["loss"], rtol=1e-3)
        assert_allclose(a["accuracy"], b["accuracy"])


def test_two_classes() -> None:
    x, y = data(40, classes=2)
    rows = [*course_net()[:-1], Dense(1, activation="sigmoid")]
    a = fit(build(copy.deepcopy(rows), loss="binary_crossentropy"), x, y)
    b = fit(build(copy.deepcopy(rows), "numpy", loss="binary_crossentropy"), x, y)
    assert_allclose(a["loss"], b["loss"], rtol=1e-3)
    assert_allclose(a["accuracy"], b["accuracy"])


class OwnPenalty(regularizers.L2):
    """A penalty that is not what its l1 and l2 say."""

    def penalty(self, w: Any) -> float:
        return 2 * super().penalty(w)

    def add_gradient(self, w: Any, dw: Any) -> None:
        super().add_gradient(w, dw)
        super().add_gradient(w, dw)


@pytest.mark.parametrize("regularizer", ["l1", "l2", regularizers.L1L2(0.01, 0.03)])
def test_penalties_are_part_of_the_graph(regularizer: Any) -> None:
    x, y = data()
    rows = [
        Rescaling(1 / 255), Conv2D(40, 3, activation="relu", kernel_regularizer=regularizer), Flatten(),
        Dense(CLASSES, activation="softmax", kernel_regularizer=regularizer),
    ]  # fmt: skip
    here, there = build(copy.deepcopy(rows)), build(copy.deepcopy(rows), "numpy")
    assert isinstance(steps_for(here, x, y, 16, None, [], live=False), GraphedSteps)
    a, b = fit(here, x, y), fit(there, x, y)
    assert_allclose(a["loss"], b["loss"], rtol=1e-4)
    for mine, theirs in zip(here.get_weights(), there.get_weights(), strict=True):
        assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_what_no_graph_can_do_is_done_step_by_step() -> None:
    x, y = data(40)
    penalised = build([Flatten(), Dense(CLASSES, activation="softmax")])
    penalised.layers[1].kernel.regularizer = OwnPenalty(0.01)
    squares = build([Flatten(), Dense(CLASSES)], loss="mse")
    study = build(course_net(), fuse=False)
    for model in (penalised, squares, study):
        assert isinstance(steps_for(model, x, y, 16, None, [], live=False), PythonSteps)
    labels = np.eye(CLASSES)[y]
    for model in (penalised, squares):
        other = Sequential.from_config(model.get_config() | {"backend": "numpy"})
        other.compile(copy.deepcopy(model.optimizer), model.loss, metrics=["accuracy"])
        other.set_weights(model.get_weights())
        for mine, its in zip(model.weights, other.weights, strict=True):
            its.regularizer = mine.regularizer
        assert_allclose(fit(model, x, labels)["loss"], fit(other, x, labels)["loss"], rtol=1e-3)


def test_the_same_images_augmented() -> None:
    x, y = data(40, "float32")

    def mirrored(batch: Any, key: Any) -> Any:
        return batch[:, :, ::-1]

    a = fit(build(course_net()[1:]), x, y, augment=mirrored)
    b = fit(build(course_net()[1:], "numpy"), x, y, augment=mirrored)
    assert_allclose(a["loss"], b["loss"], rtol=1e-3)


def test_a_bigger_batch_in_between_does_not_disturb_the_graphs() -> None:
    x, y = data()
    one, other = build(course_net()), build(course_net())
    a = fit(one, x[:40], y[:40], validation_data=(x, y), batch_size=8)
    b = fit(other, x[:40], y[:40], callbacks=Predicting(x), batch_size=8)
    assert a["loss"] == b["loss"]


class Predicting(callbacks.Callback):
    """Makes the plan's memory grow after each epoch."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def on_epoch_end(self, epoch: int, logs: callbacks.Logs) -> None:
        self.model.predict(np.concatenate([self.x] * (epoch + 1)), batch_size=10000)


def test_a_rate_that_callbacks_change_reaches_the_graph() -> None:
    x, y = data(40)
    stopped = build(course_net())
    fit(stopped, x, y)
    before = stopped.get_weights()
    fit(stopped, x, y, callbacks=callbacks.LearningRateScheduler(lambda epoch, rate: 0.0))
    for mine, theirs in zip(before, stopped.get_weights(), strict=True):
        assert_array_equal(mine, theirs)


class LessDropout(callbacks.Callback):
    """Changes the first rate of dropout after each epoch."""

    def on_epoch_end(self, epoch: int, logs: callbacks.Logs) -> None:
        dropout = next(layer for layer in self.model.layers if isinstance(layer, Dropout))
        dropout.rate = 0.1 * epoch


def test_a_dropout_that_callbacks_change_reaches_the_graph() -> None:
    x, y = data(40)
    a = fit(build(course_net()), x, y, callbacks=LessDropout(), epochs=3)
    b = fit(build(course_net(), "numba"), x, y, callbacks=LessDropout(), epochs=3)
    assert_allclose(a["loss"], b["loss"], rtol=1e-3)
    assert fit(build(course_net()), x, y, epochs=3)["loss"] != a["loss"]


class Once(callbacks.Callback):
    """Does something with the model when an epoch begins or ends."""

    def __init__(self, change: Callable[[Sequential], None], when: str) -> None:
        setattr(self, when, lambda epoch, *_: change(self.model) if epoch == 1 else None)


def freeze(model: Sequential, place: int) -> None:
    model.layers[place].trainable = False


def momentum(model: Sequential) -> None:
    model.optimizer.momentum = 0.1


def decay(model: Sequential) -> None:
    model.optimizer.weight_decay = 0.3


def clip(model: Sequential) -> None:
    model.optimizer.clipnorm = 0.01


def study(model: Sequential) -> None:
    model.fuse = False


def penalty(model: Sequential) -> None:
    model.layers[-1].kernel.regularizer = regularizers.L2(0.1)


def own_penalty(model: Sequential) -> None:
    model.layers[-1].kernel.regularizer = OwnPenalty(0.1)


def smooth(model: Sequential) -> None:
    model.loss.label_smoothing = 0.3


def forget_metrics(model: Sequential) -> None:
    model.metrics = []


def replace(model: Sequential) -> None:
    """A forward of one's own, with the same result."""
    layer = model.layers[0]
    layer.forward = type(layer).forward.__get__(layer)


CHANGES: dict[str, Callable[[Sequential], None]] = {
    "momentum": momentum, "decay": decay, "clipping": clip, "study mode": study, "regularizer": penalty,
    "own regularizer": own_penalty,
    "smoothing": smooth, "release": lambda model: model.plan.release(), "freeze": lambda model: freeze(model, 1),
    "freeze normalisation": lambda model: freeze(model, 2), "compile": lambda model: model.compile("adam", model.loss),
    "other loss": lambda model: model.compile("sgd", "mse"), "no metrics": forget_metrics, "own forward": replace,
}


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_epoch_end"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_counts_at_once(change: str, when: str) -> None:
    x, y = data(40)
    labels, models = np.eye(CLASSES, dtype=np.float32)[y], []
    for backend in ("cupy", "numpy"):
        model = build(NETS["normalised"](), backend, optimizers.SGD(0.05, momentum=0.9), "categorical_crossentropy")
        fit(model, x, labels, epochs=4, callbacks=Once(CHANGES[change], when))
        models.append(model)
    for mine, theirs in zip(*(model.get_weights() for model in models), strict=True):
        assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


class Signs(optimizers.SGD):
    """Goes by the signs of the gradients only."""

    def _step(self, flat: Any, backend: Any, *numbers: Any) -> None:
        flat.values -= numbers[0] * np.sign(flat.gradients)


class Halves(optimizers.Adam):
    """Halves the gradients first."""

    def apply_gradients(self) -> None:
        flat, _ = self._require_built()
        flat.gradients *= 0.5
        super().apply_gradients()


def replaced() -> optimizers.Optimizer:
    optimizer = optimizers.SGD(0.1)
    optimizer.apply_gradients = lambda: None  # type: ignore[method-assign]
    return optimizer


@pytest.mark.parametrize("optimizer", [lambda: Signs(0.01), lambda: Halves(0.01), replaced])
def test_optimizers_of_ones_own_are_asked_at_each_step(optimizer: Callable[[], Any]) -> None:
    x, y = data(40)
    here, there = (build(course_net(), backend, optimizer()) for backend in ("cupy", "numpy"))
    assert isinstance(steps_for(here, x, y, 16, None, [], live=False), PythonSteps)
    assert_allclose(fit(here, x, y)["loss"], fit(there, x, y)["loss"], rtol=1e-3)


def test_one_output_that_is_always_certain() -> None:
    x, _ = data(20)
    rows = [Rescaling(1 / 255), Flatten(), Dense(1, activation="softmax")]
    a, b = (fit(build(copy.deepcopy(rows), backend), x, np.zeros(20, int)) for backend in ("cupy", "numpy"))
    assert a["accuracy"] == b["accuracy"]


def test_a_callback_whose_method_was_given_to_it_sees_each_step() -> None:
    x, y = data(40)
    callback, seen = callbacks.Callback(), []
    callback.on_train_batch_end = lambda batch, logs: seen.append(batch)  # type: ignore[method-assign]
    fit(build(course_net()), x, y, callbacks=callback, epochs=1)
    assert seen == [0, 1, 2]


def test_nothing_is_allocated_while_a_graph_is_captured(device: str) -> None:
    if device == "host":
        pytest.skip("on the host, the launches are written down")
    x = backends.get("cupy").device.asarray(np.ones(3, np.float32))
    with pytest.raises(CudaError, match=r"bytes were asked for while a graph was captured"):
        graphs.capture(lambda: x + x, like=x)


def test_a_diverging_training_goes_back_to_the_epochs_start() -> None:
    x, y = data(40)
    model = build(course_net(), optimizer=optimizers.SGD(0.01))
    fit(model, x, y)
    before, iterations = model.get_weights(), model.optimizer.iterations
    model.optimizer.learning_rate = 1e30
    with pytest.raises(DivergedError, match="in epoch 1: training has diverged"):
        fit(model, x, y)
    for mine, theirs in zip(before, model.get_weights(), strict=True):
        assert_array_equal(mine, theirs)
    assert model.optimizer.iterations == iterations


def test_layers_of_the_plan_can_be_frozen_between_epochs() -> None:
    x, y = data(40)
    model = build(course_net())
    fit(model, x, y)
    kept = model.layers[1].get_weights()
    model.layers[1].trainable = False
    fit(model, x, y)
    assert_array_equal(model.layers[1].get_weights()[0], kept[0])


def test_saved_models_continue_on_any_backend(tmp_path: Any) -> None:
    x, y = data(40)
    model = build(course_net())
    fit(model, x, y)
    path = tmp_path / "model.safetensors"
    model.save(path)
    again, numpy = load_model(path), load_model(path, backend="numpy")
    assert again.backend.name == "cupy"
    a, b, c = (fit(one, x, y, epochs=2)["loss"] for one in (model, again, numpy))
    assert a == b
    assert_allclose(a, c, rtol=1e-3)


@pytest.mark.parametrize(("precision", "digits"), [("tf32", 2e-3), ("bf16", 2e-2)])
def test_tensor_cores_where_they_are_asked_for(precision: str, digits: float, tmp_path: Any) -> None:
    if NO_GPU is None and backends.get("cupy").device.__class__ is devices.Gpu:
        require_tensor_cores()
    x, y = data(40)
    rounded, exact = build(course_net(), precision=precision), build(course_net())
    a, b = fit(rounded, x, y)["loss"], fit(exact, x, y)["loss"]
    assert a != b
    assert_allclose(a, b, rtol=digits)
    rounded.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").backend.precision == precision
    assert load_model(tmp_path / "model.safetensors", backend="numpy").backend.precision == "float32"
    assert copy.deepcopy(rounded).backend.precision == precision
    assert "precision" not in exact.get_config()


def require_tensor_cores() -> None:
    import cupy

    if int(cupy.cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no tensor cores for tf32 and bf16")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "numpy", "precision": "tf32"}, 'only backend="cupy" has'),
        ({"backend": "cupy", "precision": "fp8"}, "There is no precision 'fp8'"),
        ({"backend": "cupy", "precision": "bf16", "dtype": "float64"}, 'for dtype="float32", but got float64'),
    ],
)
def test_precisions_that_there_are_not(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        Sequential(**options)


def test_copies_train_alike() -> None:
    x, y = data(40)
    model = build(course_net())
    fit(model, x, y)
    twin = copy.deepcopy(model)
    assert fit(model, x, y)["loss"] == fit(twin, x, y)["loss"]


def test_study_mode_keeps_outputs_and_the_gradient_of_the_inputs() -> None:
    x, _ = data(5)
    here, there = build(course_net(), fuse=False), build(course_net(), "numpy", fuse=False)
    y = here.forward(x)
    assert_allclose(y, there.forward(x), rtol=1e-5)
    for mine, theirs in zip(here.layers, there.layers, strict=True):
        assert_allclose(mine.output, theirs.output, rtol=1e-4, atol=1e-6)
    dy = np.random.default_rng(1).normal(size=y.shape)
    assert_allclose(here.backward(dy), there.backward(dy), rtol=1e-3, atol=1e-7)
