"""Sequential: building, naming, weights, summary, single steps, and sentences for what cannot work."""

import copy
import json
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import optimizers, regularizers, utils
from tinyconv.errors import ArgumentError, BackendError, DataError, DivergedError, ShapeError, StateError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from tinyconv.models import Sequential

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 8, 8, 1))
Y = np.array([0, 1, 2, 0, 1, 2])


def conv_rows():
    return [
        Conv2D(4, 3, activation="relu"), MaxPooling2D(), Conv2D(4, 2), Flatten(), Dense(3, activation="softmax")
    ]


def conv_net(*, loss="sparse_categorical_crossentropy", optimizer="adam", metrics=("accuracy",), **options):
    options = {"backend": "numpy", "dtype": "float64", **options}
    model = Sequential([Input((8, 8, 1)), *conv_rows()], **options)
    model.compile(optimizer, loss, metrics=metrics)
    return model


# -- building ---------------------------------------------------------------------------------------------------------


def test_three_ways_to_say_the_input_shape_and_the_lazy_one():
    with_input = Sequential([Input(shape=(8, 8, 1)), *conv_rows()], backend="numpy")
    on_layer = Sequential([Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)), *conv_rows()[1:]], backend="numpy")
    by_build = Sequential(conv_rows(), backend="numpy")
    assert not by_build.built
    by_build.build((None, 8, 8, 1))
    lazy = Sequential(conv_rows(), backend="numpy")
    lazy.predict_on_batch(X)
    for model in (with_input, on_layer, by_build, lazy):
        assert model.built
        assert (model.input_shape, model.output_shape) == ((None, 8, 8, 1), (None, 3))
        for mine, other in zip(model.get_weights(), with_input.get_weights(), strict=True):
            assert_array_equal(mine, other)
    assert len(with_input.layers) == 5


def test_names_are_numbered_per_kind():
    model = Sequential(conv_rows())
    assert [layer.name for layer in model.layers] == ["conv2d", "max_pooling2d", "conv2d_1", "flatten", "dense"]
    model.add(Dense(2, name="dense_1"))
    model.add(Dense(2))
    model.add(BatchNormalization())
    assert [layer.name for layer in model.layers[5:]] == ["dense_1", "dense_2", "batch_normalization"]
    assert model.get_layer("dense_2") is model.layers[6]
    with pytest.raises(ArgumentError, match="has a layer 'dense' already"):
        model.add(Dense(2, name="dense"))
    with pytest.raises(ArgumentError, match=r"no layer 'dens'. Did you mean 'dense'"):
        model.get_layer("dens")


def test_errors_come_when_the_layer_is_added_and_leave_the_model_usable():
    model = Sequential([Input((4, 4, 1)), Conv2D(2, 3)])
    with pytest.raises(ShapeError, match="conv2d_1: a window of 3 pixels is larger than the padded image of 2 pixels"):
        model.add(Conv2D(2, 3))
    with pytest.raises(ShapeError, match="dense: works on flat inputs"):
        model.add(Dense(2))
    model.add(Flatten())
    model.add(Dense(2))
    assert model.output_shape == (None, 2)


def test_add_and_pop_keep_the_weights_of_the_others():
    model = conv_net()
    model.train_on_batch(X, Y)
    before = model.get_weights()
    head = model.pop()
    model.add(Dense(5, activation="softmax", name="new_head"))
    for mine, other in zip(model.get_weights()[:4], before[:4], strict=True):
        assert_array_equal(mine, other)
    model.train_on_batch(X, Y)  # the optimizer knows the new parameters
    assert not np.array_equal(model.get_weights()[-1], np.zeros(5))
    model.pop()
    model.add(head)
    assert_array_equal(model.get_weights()[-2], before[-2])


def test_a_layer_used_alone_brings_its_weights_along():
    layer = Dense(3)
    layer(np.ones((1, 4)))
    kernel = layer.kernel.value.copy()
    model = Sequential([Input((4,)), layer], seed=9, backend="numpy")
    assert_allclose(model.get_weights()[0], kernel, rtol=1e-6)


def test_a_layer_belongs_to_one_model():
    model = conv_net()
    with pytest.raises(ArgumentError, match="conv2d belongs to a model already"):
        Sequential([model.layers[0]])
    with pytest.raises(ArgumentError, match="must be the first layer"):
        model.add(Input((3,)))
    with pytest.raises(ArgumentError, match="made of layers, but got 'dense'"):
        model.add("dense")


def test_seeds():
    def kernel(**options):
        return conv_net(**options).get_weights()[0]

    assert_array_equal(kernel(), kernel(seed=0))
    assert not np.array_equal(kernel(seed=1), kernel(seed=0))
    utils.set_random_seed(1)
    try:
        assert_array_equal(kernel(), kernel(seed=1))
    finally:
        utils.set_random_seed(0)


def test_configuration_round_trip():
    model = conv_net(seed=4, name="net", fuse=False)
    twin = Sequential.from_config(json.loads(json.dumps(model.get_config())))
    assert twin.get_config() == model.get_config()
    for mine, other in zip(twin.get_weights(), model.get_weights(), strict=True):
        assert_array_equal(mine, other)
    unbuilt = Sequential(conv_rows())
    assert Sequential.from_config(unbuilt.get_config()).get_config() == unbuilt.get_config()


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Sequential(backend="numbax"), ArgumentError, "no backend 'numbax'"),
        (lambda: Sequential(dtype="float16"), ArgumentError, "dtype must be one of float32, float64"),
        (lambda: Sequential(seed=1.5), ArgumentError, "seed must be a whole number"),
        (lambda: Sequential([Input((0, 3, 1))]), ShapeError, "whole numbers of at least 1"),
        (lambda: Sequential([Input((None, None, 1))]), ShapeError, "whole numbers of at least 1"),
        (lambda: Sequential().pop(), StateError, "has no layers"),
        (lambda: Sequential(backend="numpy").predict_on_batch(X), StateError, "has no layers"),
        (lambda: Sequential([]).summary(), StateError, "sequential has no layers yet: add some"),
        (lambda: Sequential(conv_rows()).summary(), StateError, "has no weights yet"),
        (lambda: Sequential(conv_rows()).get_weights(), StateError, "has no weights yet"),
        (lambda: conv_net().build((9, 9, 1)), StateError, r"works on inputs of shape \(None, 8, 8, 1\)"),
        (lambda: conv_net(loss="crossentropy"), ArgumentError, "There is no loss 'crossentropy'"),
        (lambda: conv_net(loss=None), ArgumentError, "None is not a loss"),
        (lambda: conv_net(optimizer="adamm"), ArgumentError, "Did you mean 'adam'"),
        (lambda: conv_net(metrics=["acuracy"]), ArgumentError, "Did you mean 'accuracy'"),
        (lambda: Sequential(conv_rows()).train_on_batch(X, Y), StateError, "call compile"),
        (lambda: Sequential(conv_rows()).optimizer, StateError, "call compile"),
        (lambda: Sequential(conv_rows()).loss, StateError, "call compile"),
    ],
)
def test_what_cannot_work_says_why(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_a_backend_that_is_missing_says_what_is_missing():
    pytest.importorskip("numpy")
    try:
        Sequential(backend="cupy")
    except BackendError as problem:
        assert 'backend="numba"' in str(problem)  # noqa: PT017  # on a machine with a GPU there is no error


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_images_without_a_channel_axis_get_one():
    model = conv_net()
    assert_array_equal(model.predict_on_batch(X[..., 0]), model.predict_on_batch(X))
    lazy = Sequential(conv_rows(), backend="numpy", dtype="float64")
    assert_array_equal(lazy.predict_on_batch(X[..., 0]), model.predict_on_batch(X))
    assert lazy.input_shape == (None, 8, 8, 1)


def test_bytes_and_lists_are_numbers():
    model = conv_net()
    pixels = RNG.integers(0, 256, X.shape).astype(np.uint8)
    expected = model.predict_on_batch(pixels.astype(np.float64))
    assert_array_equal(model.predict_on_batch(pixels), expected)
    assert_array_equal(model.predict_on_batch(pixels.tolist()), expected)


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (np.ones((2, 9, 8, 1)), ShapeError, r"conv2d works on .*\(None, 8, 8, 1\), but x has shape \(2, 9, 8"),
        (np.ones((2, 8, 8, 3)), ShapeError, r"conv2d works on .* but x has shape \(2, 8, 8, 3\)"),
        (np.ones((2, 64)), ShapeError, r"conv2d works on .* but x has shape \(2, 64\)"),
        (np.ones((8, 8, 1)), ShapeError, r"Put the batch axis in front"),
        (np.ones((0, 8, 8, 1)), DataError, "x is empty"),
        (np.array([["a"]]), DataError, "x must hold numbers"),
    ],
)
def test_inputs_that_do_not_fit(x, error, sentence):
    model = conv_net()
    for method in (model.predict_on_batch, model.forward, lambda x: model.test_on_batch(x, Y)):
        with pytest.raises(error, match=sentence):
            method(x)


def test_failed_lazy_build_can_be_repeated_with_other_data():
    model = Sequential(conv_rows(), backend="numpy")
    with pytest.raises(ShapeError, match="conv2d: a window of 3 pixels"):
        model.predict_on_batch(np.ones((1, 2, 2, 1)))
    assert not model.built
    assert model.predict_on_batch(X).shape == (6, 3)


# -- weights and summary ----------------------------------------------------------------------------------------------


def test_weights_are_views_of_one_flat_buffer():
    model = conv_net()
    flat = model.parameters.values
    kernel = model.layers[0].kernel
    assert np.shares_memory(kernel.value, flat)
    assert np.shares_memory(kernel.gradient, model.parameters.gradients)
    flat += 1
    assert_array_equal(model.get_weights()[0], kernel.value)
    assert flat.size >= model.count_params() == (9 + 1) * 4 + (16 + 1) * 4 + (16 + 1) * 3


def test_set_weights_checks_first():
    model, other = conv_net(), conv_net(seed=5)
    model.set_weights(other.get_weights())
    assert_array_equal(model.predict_on_batch(X), other.predict_on_batch(X))
    with pytest.raises(ShapeError, match="has 6 weights, but got 5"):
        model.set_weights(other.get_weights()[:5])
    wrong = [*(w + 1 for w in other.get_weights()[:5]), np.ones(4)]
    with pytest.raises(ShapeError, match=r"dense/bias has shape \(3,\), but got \(4,\)"):
        model.set_weights(wrong)
    assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_summary(capsys):
    model = Sequential([Input((28, 28, 1)), Conv2D(32, 3, activation="relu"), BatchNormalization(), MaxPooling2D()])
    lines = []
    model.summary(print_fn=lines.append)
    table = "\n".join(lines)
    for row in (
        "conv2d (Conv2D) (None, 26, 26, 32) 320",
        "batch_normalization (BatchNormalization) (None, 26, 26, 32) 128",
        "max_pooling2d (MaxPooling2D) (None, 13, 13, 32) 0",
        "Total params: 448 (1.75 KiB)",
        "Trainable params: 384 (1.50 KiB)",
        "Non-trainable params: 64 (256 B)",
    ):
        assert row in " ".join(table.split())
    model.summary()
    assert capsys.readouterr().out == table + "\n"


# -- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_of_a_whole_model_by_differences(fuse):
    model = conv_net(fuse=fuse)
    model.loss_and_gradients(X, Y)
    flat = model.parameters
    gradients = flat.gradients.copy()
    for direction in RNG.choice([-1.0, 1.0], size=(3, flat.values.size)):
        ends = []
        for sign in (1, -1):
            flat.values += sign * 1e-6 * direction
            ends.append(model.test_on_batch(X, Y)[0])
            flat.values -= sign * 1e-6 * direction
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradients @ direction, rel=1e-6)


def test_train_on_batch_is_gradients_and_one_optimizer_step():
    model, by_hand = conv_net(optimizer=optimizers.SGD(0.1)), conv_net()
    values = model.train_on_batch(X, Y)
    assert values == by_hand.loss_and_gradients(X, Y) == by_hand.test_on_batch(X, Y)
    assert model.optimizer.iterations == 1
    expected = by_hand.parameters.values - 0.1 * by_hand.parameters.gradients
    assert_allclose(model.parameters.values, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_training_makes_the_loss_small(backend):
    model = conv_net(backend=backend, dtype="float32", optimizer=optimizers.Adam(0.02))
    for _ in range(60):
        loss, accuracy = model.train_on_batch(X, Y)
    assert loss < 0.05
    assert accuracy == 1
    assert model.metrics_names == ["loss", "accuracy"]


def test_metrics_are_of_probabilities_also_when_fused():
    def largest(y_true, y_pred):
        assert_allclose(y_pred.sum(axis=1), 1)
        return float(y_pred.max())

    model = conv_net(metrics=[largest, "acc"])
    assert model.metrics_names == ["loss", "largest", "acc"]
    assert model.train_on_batch(X, Y)[1] == pytest.approx(model_max(conv_net()))


def model_max(model):
    return float(model.predict_on_batch(X).max())


def test_penalties_are_in_loss_and_gradients():
    plain, penalised = (
        Sequential([Input((4,)), Dense(1, kernel_initializer="ones", kernel_regularizer=penalty)], backend="numpy")
        for penalty in (None, regularizers.L2(0.5))
    )
    x, y = np.ones((2, 4)), np.zeros(2)
    for model in (plain, penalised):
        model.compile("sgd", "mse")
    assert plain.loss_and_gradients(x, y) == [16]
    assert penalised.loss_and_gradients(x, y) == penalised.test_on_batch(x, y) == [16 + 0.5 * 4]
    difference = penalised.layers[0].kernel.gradient - plain.layers[0].kernel.gradient
    assert_allclose(difference, np.full((4, 1), 2 * 0.5))


def test_dropout_draws_by_the_optimizers_step():
    def net():
        model = Sequential([Input((30,)), Dropout(0.5), Dense(1, kernel_initializer="ones")], backend="numpy")
        model.compile(optimizers.SGD(0.0), "mse")
        return model

    x, y = np.ones((2, 30)), np.zeros(2)
    model = net()
    first, second = model.train_on_batch(x, y), model.train_on_batch(x, y)
    assert first != second
    resumed = net()
    resumed.optimizer.iterations = 1
    assert resumed.train_on_batch(x, y) == second


def test_backends_take_the_same_steps():
    models = [conv_net(backend=backend, dtype="float32") for backend in ("numpy", "numba")]
    for _ in range(10):
        losses = [model.train_on_batch(X, Y)[0] for model in models]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert_allclose(models[0].get_weights()[0], models[1].get_weights()[0], atol=1e-4)


def test_predictions_are_the_callers_own():
    model = conv_net()
    first = model.predict_on_batch(X)
    kept = first.copy()
    model.train_on_batch(X, Y)
    assert_array_equal(first, kept)
    assert_array_equal(model(X), model.forward(X))


def test_compile_before_the_lazy_build():
    model = Sequential(conv_rows(), backend="numpy", dtype="float64")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    built = conv_net()
    for _ in range(2):
        assert model.train_on_batch(X, Y) == built.train_on_batch(X, Y)


def test_fit_evaluate_predict_end_to_end():
    model = conv_net()
    history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    assert model.optimizer.iterations == 4
    assert_allclose(model.evaluate(X, Y, verbose=0), model.test_on_batch(X, Y))
    assert_allclose(model.predict(X), model.predict_on_batch(X))
    assert_allclose(model.predict(X[..., 0]), model.predict(X))  # images without a channel axis


# -- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Sequential(Dense(3)), r"takes a list of layers: write Sequential\(\[…\]\) around dense"),
        (lambda: Sequential([Dense(3, input_shape=4)]), "dense: input_shape must be a tuple of sizes"),
        (lambda: Sequential(dtype=None), "dtype must be one of float32, float64, but got None"),
        (lambda: Sequential(dtype="junk"), "dtype must be"),
        (lambda: Sequential(backend="nmba"), "no backend 'nmba'. Did you mean 'numba'"),
        (lambda: conv_net(metrics=[["accuracy"]]), "no metric"),
    ],
)
def test_what_is_no_model(make, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        make()


def test_one_metric_needs_no_list():
    assert conv_net(metrics="accuracy").metrics_names == ["loss", "accuracy"]


def test_backward_needs_the_forward_pass_just_before_it():
    model = conv_net()
    dy = np.ones((6, 3))
    with pytest.raises(StateError, match="nothing to go back from"):
        model.backward(dy)
    model.forward(X)
    with pytest.raises(ShapeError, match=r"dy must have the shape of the predictions, \(6, 3\), but got \(6, 4\)"):
        model.backward(np.ones((6, 4)))
    model.backward(dy)
    model.test_on_batch(X, Y)  # leaves the logits, not the predictions
    with pytest.raises(StateError, match="nothing to go back from"):
        model.backward(dy)


def test_a_loss_that_is_no_number_changes_no_weight():
    model = conv_net()
    before = model.get_weights()
    with pytest.raises(DivergedError, match="loss of this batch is nan, so no weight was changed"):
        model.train_on_batch(np.full_like(X, np.nan), Y)
    for mine, other in zip(model.get_weights(), before, strict=True):
        assert_array_equal(mine, other)
    assert model.optimizer.iterations == 0


def test_an_optimizer_trains_one_model():
    optimizer = optimizers.Adam()
    model = conv_net(optimizer=optimizer)
    model.compile(optimizer, "sparse_categorical_crossentropy")  # the same model again
    with pytest.raises(ArgumentError, match="This Adam trains another model"):
        conv_net(optimizer=optimizer)


# -- copies -----------------------------------------------------------------------------------------------------------


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_copy_goes_on_alone_from_the_same_state(copied, backend):
    model = conv_net(optimizer=optimizers.Adam(0.01), backend=backend, dtype="float32")
    for _ in range(3):
        model.train_on_batch(X, Y)
    twin = copied(model)
    before = model.get_weights()
    losses = [twin.train_on_batch(X, Y) for _ in range(3)]
    for mine, other in zip(model.get_weights(), before, strict=True):
        assert_array_equal(mine, other)
    assert [model.train_on_batch(X, Y) for _ in range(3)] == losses
    assert np.shares_memory(twin.layers[0].kernel.value, twin.parameters.values)


def test_models_that_are_not_ready_can_be_copied():
    lazy = copy.deepcopy(Sequential(conv_rows(), backend="numpy"))
    lazy.compile("adam", "sparse_categorical_crossentropy")
    again = copy.deepcopy(lazy)
    assert np.isfinite(again.train_on_batch(X, Y)[0])
