"""Gradient checks of every layer, with every hyperparameter, on every backend; of every loss; of whole models.

The cupy backend's kernels run on the processor, and on a GPU where there is one.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest

from tinyconv import backends, gpu, layers, losses
from tinyconv.gradcheck import check_layer, check_loss, check_model
from tinyconv.kernels.cuda import host
from tinyconv.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
)
from tinyconv.models import Sequential

CUDA = pytest.param("cupy", marks=pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)"))
GPU = pytest.param("cupy", marks=pytest.mark.gpu, id="gpu")
BACKENDS = ["numpy", "numba", CUDA, *([] if gpu.find_problem() else [GPU])]


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.node.get_closest_marker("gpu") else backends.cuda_on_host():
        yield


# name: (layer, shape of one input).  Nothing is square, so that no height passes for a width.
LAYERS = {
    "conv 3x2": (lambda: Conv2D(3, (3, 2)), (6, 5, 2)),
    "conv 1x1": (lambda: Conv2D(2, 1), (4, 3, 3)),
    "conv one channel, one filter": (lambda: Conv2D(1, (2, 3)), (5, 6, 1)),
    "conv same": (lambda: Conv2D(2, (2, 3), padding="same"), (5, 4, 2)),
    "conv same, strides": (lambda: Conv2D(2, (3, 2), strides=(2, 3), padding="same"), (7, 8, 2)),
    "conv uneven padding": (lambda: Conv2D(2, (3, 2), padding=((1, 0), (0, 2))), (4, 5, 2)),
    "conv strides": (lambda: Conv2D(2, (2, 3), strides=(2, 1)), (7, 6, 2)),
    "conv stride beyond kernel": (lambda: Conv2D(2, (1, 2), strides=(2, 3)), (6, 9, 2)),
    "conv dilation": (lambda: Conv2D(2, (2, 3), dilation_rate=(3, 2)), (7, 8, 2)),
    "conv dilation, same": (lambda: Conv2D(2, (3, 2), dilation_rate=(1, 2), padding="same"), (5, 6, 2)),
    "conv no bias": (lambda: Conv2D(3, (2, 2), use_bias=False), (4, 5, 2)),
    "conv relu": (lambda: Conv2D(3, (3, 2), activation="relu"), (6, 5, 2)),
    "conv tanh": (lambda: Conv2D(2, (2, 2), activation="tanh"), (4, 5, 2)),
    "conv many filters": (lambda: Conv2D(19, (3, 3)), (5, 4, 5)),
    "conv kernel as large as the image": (lambda: Conv2D(2, (4, 3)), (4, 3, 2)),
    "dense": (lambda: Dense(4), (7,)),
    "dense no bias": (lambda: Dense(4, use_bias=False), (5,)),
    "dense one unit, sigmoid": (lambda: Dense(1, activation="sigmoid"), (6,)),
    "dense softmax": (lambda: Dense(5, activation="softmax"), (6,)),
    "dense many": (lambda: Dense(33, activation="relu"), (65,)),
    "max 2x2": (lambda: MaxPooling2D(), (6, 4, 3)),
    "max odd size": (lambda: MaxPooling2D(2), (5, 7, 2)),
    "max same": (lambda: MaxPooling2D((2, 3), padding="same"), (5, 7, 2)),
    "max overlapping": (lambda: MaxPooling2D((3, 2), strides=(1, 1)), (5, 4, 2)),
    "max strides beyond the window": (lambda: MaxPooling2D((2, 1), strides=(3, 2)), (8, 5, 2)),
    "average 2x2": (lambda: AveragePooling2D(), (6, 4, 3)),
    "average same": (lambda: AveragePooling2D((3, 2), strides=(2, 2), padding="same"), (6, 5, 2)),
    "average overlapping": (lambda: AveragePooling2D((2, 3), strides=(1, 2)), (5, 7, 2)),
    "global average": (lambda: GlobalAveragePooling2D(), (4, 5, 3)),
    "batch normalization of images": (lambda: BatchNormalization(), (4, 3, 3)),
    "batch normalization of rows": (lambda: BatchNormalization(epsilon=0.1, momentum=0.5), (6,)),
    "dropout": (lambda: Dropout(0.4), (4, 5, 2)),
    "dropout none": (lambda: Dropout(0.0), (7,)),
    "relu": (lambda: ReLU(), (4, 3, 2)),
    "sigmoid": (lambda: Activation("sigmoid"), (4, 3, 2)),
    "tanh": (lambda: Activation("tanh"), (9,)),
    "linear": (lambda: Activation("linear"), (9,)),
    "softmax": (lambda: Softmax(), (7,)),
    "softmax of channels": (lambda: Activation("softmax"), (3, 2, 4)),
    "rescaling": (lambda: Rescaling(1 / 127.5, offset=-1.0), (3, 4, 2)),
    "reshape": (lambda: Reshape((2, -1)), (4, 3, 2)),
    "flatten": (lambda: Flatten(), (4, 3, 2)),
}


def test_every_kind_of_layer_is_checked():
    checked = {type(make()).__name__ for make, _ in LAYERS.values()}
    assert checked == layers.CLASSES.keys() - {"InputLayer"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, backend):
    make, shape = LAYERS[name]
    report = check_layer(make(), shape, backend=backend, groups=30)
    report.raise_if_wrong()
    assert all(tensor.verdict == "ok" for tensor in report.tensors), report


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["conv relu", "batch normalization of images", "dropout", "dense softmax", "max same"])
def test_a_batch_of_one(name, backend):
    make, shape = LAYERS[name]
    x = np.random.default_rng(3).normal(size=(1, *shape))
    check_layer(make(), x, backend=backend, groups=30).raise_if_wrong()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["conv 3x2", "dense", "batch normalization of images", "max 2x2", "softmax"])
def test_a_layer_with_a_broken_backward_is_refused(name, backend):
    """The checks above mean something: the same check refuses the same layer with 0.1 % more in its gradients."""
    make, shape = LAYERS[name]
    layer = make()
    right = type(layer).backward

    def wrong(dy):
        dx = right(layer, dy)
        for parameter in layer.parameters:
            if parameter.trainable:
                parameter.gradient *= 1.001
        return 1.001 * dx

    layer.backward = wrong
    report = check_layer(layer, shape, backend=backend, groups=30)
    assert not any(tensor.ok for tensor in report.tensors), report


def _probabilities(shape):
    p = np.random.default_rng(1).uniform(0.1, 1, shape)
    return p / p.sum(axis=1, keepdims=True)


LABELS = np.array([3, 0, 2])
ONE_HOT = np.eye(4)[LABELS]
LOGITS = 3 * np.random.default_rng(2).normal(size=(3, 4))
TARGETS = np.random.default_rng(4).uniform(size=(3, 4))
LOSSES = {
    "categorical, labels": (losses.CategoricalCrossentropy(), LABELS, _probabilities((3, 4))),
    "categorical, one-hot": (losses.CategoricalCrossentropy(), ONE_HOT, _probabilities((3, 4))),
    "categorical, smoothed": (losses.CategoricalCrossentropy(label_smoothing=0.2), LABELS, _probabilities((3, 4))),
    "categorical, not normalised": (losses.CategoricalCrossentropy(), LABELS, 3 * _probabilities((3, 4))),
    "categorical, logits": (losses.CategoricalCrossentropy(from_logits=True), ONE_HOT, LOGITS),
    "sparse": (losses.SparseCategoricalCrossentropy(), LABELS, _probabilities((3, 4))),
    "sparse, logits": (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, LOGITS),
    "binary": (losses.BinaryCrossentropy(), np.array([1, 0, 1]), np.array([[0.9], [0.3], [0.2]])),
    "binary, several, soft": (losses.BinaryCrossentropy(), TARGETS, _probabilities((3, 4))),
    "binary, smoothed": (losses.BinaryCrossentropy(label_smoothing=0.1), TARGETS.round(), _probabilities((3, 4))),
    "binary, logits": (losses.BinaryCrossentropy(from_logits=True), TARGETS.round(), LOGITS),
    "squared error": (losses.MeanSquaredError(), TARGETS, LOGITS),
}


def test_every_loss_is_checked():
    assert {type(loss) for loss, _, _ in LOSSES.values()} == set(losses.CLASSES.values())


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    report = check_loss(*LOSSES[name])
    report.raise_if_wrong()
    assert report.tensors[0].verdict == "ok"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["categorical, one-hot", "categorical, smoothed", "sparse", "binary, logits"])
def test_loss_fused_with_its_activation(name, backend):
    loss, y_true, _ = LOSSES[name]
    kernels = backends.get(backend)

    def fused(y, logits):
        value, gradient = loss.on_logits(y, kernels.device.asarray(logits), backend=kernels)
        return value, kernels.device.numpy(gradient)

    check_loss(fused, y_true, LOGITS).raise_if_wrong()


def _classifier(backend, fuse, **arguments):
    return Sequential(
        [
            Conv2D(3, (3, 2), activation="relu", input_shape=(8, 7, 1), kernel_regularizer="l2"),
            MaxPooling2D(2),
            Conv2D(4, 2, padding="same"),
            BatchNormalization(),
            ReLU(),
            MaxPooling2D(2, padding="same"),
            Dropout(0.25),
            Flatten(),
            Dense(6, activation="tanh"),
            Dense(4, activation="softmax", kernel_regularizer="l1"),
        ],
        backend=backend, fuse=fuse, **arguments,
    )


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "study"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_model(backend, fuse):
    model = _classifier(backend, fuse)
    model.compile("adam", "categorical_crossentropy")
    before = model.get_weights()
    report = check_model(model, np.random.default_rng(0).normal(size=(3, 8, 7, 1)), LABELS, groups=10)
    report.raise_if_wrong()
    assert [tensor.name for tensor in report.tensors] == [one.name for one in model.weights if one.trainable]
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_model_of_two_classes(backend):
    model = Sequential(
        [Conv2D(2, 2, activation="relu", input_shape=(5, 4, 3)), AveragePooling2D(2), Flatten(), Dense(1, "sigmoid")],
        backend=backend,
    )
    model.compile("adam", "binary_crossentropy")
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 3))
    check_model(model, x, np.array([1, 0, 1]), groups=10).raise_if_wrong()


def test_a_model_with_a_broken_layer_is_refused():
    class Forgets(Dense):
        def backward_logits(self, dz):
            dx = super().backward_logits(dz)
            self.kernel.gradient *= 0.999
            return dx

    layers.CLASSES["Forgets"] = Forgets
    try:
        model = Sequential([Flatten(input_shape=(3, 2)), Forgets(4, activation="softmax", name="forgetful")])
        model.compile("adam", "categorical_crossentropy")
        report = check_model(model, np.random.default_rng(0).normal(size=(3, 3, 2)), LABELS, groups=10)
    finally:
        del layers.CLASSES["Forgets"]
    assert [tensor.name for tensor in report.tensors if not tensor.ok] == ["forgetful/kernel"]
