"""Frozen layers: no update, no gradient, no penalty, counted as non-trainable, and the same after saving."""

from copy import deepcopy

import numpy as np
import pytest

from tinyconv import gradcheck
from tinyconv.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, Input, MaxPooling2D
from tinyconv.models import Sequential, load_model
from tinyconv.parameters import FlatParameters

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 8, 8, 1)).astype(np.float32)
Y = np.arange(12) % 3


def make(backend="numpy", fuse=True, **options):
    """Two fused convolutions, batch normalisation between them, two dense layers."""
    return Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(4, 3, activation="relu", padding="same", name="first"),
            MaxPooling2D(2),
            BatchNormalization(name="norm"),
            Conv2D(6, 3, padding="same", name="second"),
            Activation("relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(8, activation="relu", name="third"),
            Dense(3, activation="softmax", name="head"),
        ],
        backend=backend, fuse=fuse, seed=3, **options,
    )


def freeze(model, *names):
    for name in names:
        model.get_layer(name).trainable = False


def trained(model, steps=3):
    """The weights by name before and after some steps."""
    model.compile("adam", "sparse_categorical_crossentropy")
    before = {one.name: one.value.copy() for one in model.weights}
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return before, {one.name: one.value.copy() for one in model.weights}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("names", [
    ("first",), ("second",), ("norm", "second"), ("first", "norm", "second", "third"), ("head",), ("third", "head"),
])
def test_frozen_layers_stay_and_all_others_learn(backend, fuse, names):
    model = make(backend, fuse)
    freeze(model, *names)
    before, after = trained(model)
    for name, value in before.items():
        assert np.array_equal(value, after[name]) == (name.split("/")[0] in names), name


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", ["first", "second", "third", "head"])
def test_the_gradients_of_the_others_are_what_they_are_when_nothing_is_frozen(backend, fuse, name):
    gradients = []
    for frozen in ((), (name,)):
        model = make(backend, fuse)
        freeze(model, *frozen)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.loss_and_gradients(X, Y)
        gradients.append({one.name: one.gradient.copy() for one in model.weights if one.trainable})
    everything, others = gradients
    assert everything.keys() - others.keys() == {f"{name}/kernel", f"{name}/bias"}
    for key, gradient in others.items():
        np.testing.assert_allclose(gradient, everything[key], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layer", [
    Conv2D(2, 3, trainable=False), Dense(3, activation="tanh", trainable=False), BatchNormalization(trainable=False),
], ids=lambda layer: layer.name)
def test_a_frozen_layer_passes_the_right_gradient_on(layer):
    report = gradcheck.check_layer(layer, (5,) if isinstance(layer, Dense) else (5, 4, 2))
    report.raise_if_wrong()
    assert [tensor.name for tensor in report.tensors] == ["input"]
    assert all(one.gradient.size == 0 for one in layer.parameters)


@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_of_a_model_with_frozen_layers(fuse):
    model = make(fuse=fuse)
    freeze(model, "norm", "second")
    model.compile("sgd", "sparse_categorical_crossentropy")
    report = gradcheck.check_model(model, X[:4], Y[:4])
    report.raise_if_wrong()
    assert {tensor.name.split("/")[0] for tensor in report.tensors} == {"first", "third", "head"}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("fuse", [True, False])
def test_with_everything_frozen_training_changes_nothing(backend, fuse):
    model = make(backend, fuse)
    freeze(model, "first", "norm", "second", "third", "head")
    before, after = trained(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert model.parameters.values.size == 0


def test_a_model_that_ends_in_a_frozen_fused_convolution():
    model = Sequential([Input((4, 4, 1)), Conv2D(2, 1, activation="relu"), MaxPooling2D(2)], backend="numba")
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    model.train_on_batch(X[:, :4, :4], np.zeros((12, 2, 2, 2)))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_no_gradient_work_below_the_first_layer_that_learns(monkeypatch):
    model = make()
    freeze(model, "first", "norm", "second")
    model.compile("adam", "sparse_categorical_crossentropy")

    def refuse(*arguments):
        raise AssertionError("backward of a layer below all that learns")

    for layer in model.layers[:7]:
        monkeypatch.setattr(layer, "backward", refuse)
    model.train_on_batch(X, Y)


def test_frozen_batch_normalisation_uses_and_keeps_its_moving_averages():
    layer = BatchNormalization(trainable=False)
    x = X[:, :, :, 0]
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1 + layer.epsilon), rtol=1e-6)
    assert layer.moving_mean.value.tolist() == [0] * 8


def test_frozen_weights_have_no_penalty():
    def loss(trainable):
        layer = Dense(2, kernel_regularizer="l2", trainable=trainable, input_shape=(3,))
        model = Sequential([layer], backend="numpy", seed=1)
        model.compile("sgd", "mse")
        return model.test_on_batch(np.zeros((1, 3)), np.zeros((1, 2)))[0]

    assert loss(True) > 0
    assert loss(False) == 0


def test_the_summary_counts_them_as_non_trainable_at_once():
    model, lines = make(), []
    freeze(model, "second")
    model.summary(print_fn=lines.append)
    frozen = 3 * 3 * 4 * 6 + 6 + 2 * 4  # and the moving averages
    total = model.count_params()
    for text, count in (("Total", total), ("Trainable", total - frozen), ("Non-trainable", frozen)):
        assert any(line.startswith(f"{text} params: {count:,}") for line in lines), text


@pytest.mark.parametrize("suffix", ["safetensors", "h5"])
def test_a_saved_model_stays_frozen_and_goes_on_with_the_same_bits(tmp_path, suffix):
    if suffix == "h5":
        pytest.importorskip("h5py")
    model = make()
    freeze(model, "norm", "second")
    trained(model)
    model.save(tmp_path / f"model.{suffix}")
    same = load_model(tmp_path / f"model.{suffix}")
    assert [layer.trainable for layer in same.layers if layer.parameters] == [True, False, False, True, True]
    for one in (model, same):
        one.train_on_batch(X, Y)
    assert all(map(np.array_equal, model.get_weights(), same.get_weights()))


def test_unfreezing_starts_the_optimizer_afresh_and_all_layers_learn_again():
    model = make()
    freeze(model, "first", "second")
    before, after = trained(model)
    for name in ("first", "second"):
        model.get_layer(name).trainable = True
    assert {"first/kernel", "second/bias"} <= model.parameters.slices.keys()
    assert model.optimizer.iterations == 0
    assert all(np.array_equal(one.value, after[one.name]) for one in model.weights)  # no weight is lost on the way
    before, after = trained(model)
    assert not any(np.array_equal(before[name], after[name]) for name in before)


def test_a_copy_stays_frozen_and_goes_on_with_the_same_bits():
    model = make()
    freeze(model, "norm", "second")
    trained(model)
    twin = deepcopy(model)
    for one in (model, twin):
        one.train_on_batch(X, Y)
    assert twin.get_layer("second").frozen
    assert all(map(np.array_equal, model.get_weights(), twin.get_weights()))


def test_keras_order_of_weights_and_configuration():
    norm = BatchNormalization(trainable=False)
    norm.build((2,))
    assert [one.name.split("/")[1] for one in norm.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    for layer in (norm, Dense(2, trainable=False), Conv2D(2, 2, trainable=False)):
        assert not type(layer)(**layer.get_config()).trainable


def test_flat_parameters_of_a_frozen_layer_hold_its_weights_as_state():
    layer = Dense(2)
    layer.build((3,))
    layer.trainable = False
    flat = FlatParameters(layer.parameters)
    assert not flat.slices
    assert flat.state == layer.parameters


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_layer_that_was_frozen_for_a_moment_goes_on_learning(backend):
    models = [make(backend), make(backend)]
    for model in models:
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(X, Y)
    freeze(models[0], "second", "norm")
    for name in ("second", "norm"):
        models[0].get_layer(name).trainable = True
    for _ in range(4):
        assert models[0].train_on_batch(X, Y) == models[1].train_on_batch(X, Y)
    for mine, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
