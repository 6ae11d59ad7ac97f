"""Layers alone: shapes, numbers by hand, weights, sentences for bad arguments; gradients: see test_all_gradients."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import gradcheck, initializers, layers
from tinyconv.errors import ArgumentError, DataError, ShapeError, StateError
from tinyconv.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    InputLayer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
)

IMAGE = (5, 7, 2)  # neither square nor even

EVERY_LAYER = [
    pytest.param(lambda: Conv2D(3, (3, 2)), IMAGE, id="conv2d"),
    pytest.param(lambda: Conv2D(3, (2, 3), strides=(2, 3), padding="same", activation="tanh"), IMAGE, id="conv2d-same"),
    pytest.param(lambda: Conv2D(2, 2, padding=((0, 1), (2, 0)), dilation_rate=(2, 1)), IMAGE, id="conv2d-dilated"),
    pytest.param(lambda: Conv2D(2, 2, use_bias=False, activation="relu"), IMAGE, id="conv2d-relu-no-bias"),
    pytest.param(lambda: Dense(4, activation="sigmoid"), (6,), id="dense"),
    pytest.param(lambda: Dense(4, use_bias=False, activation="softmax"), (6,), id="dense-softmax-no-bias"),
    pytest.param(lambda: MaxPooling2D((2, 3), strides=(1, 2), padding="same"), IMAGE, id="max-pooling"),
    pytest.param(lambda: AveragePooling2D((2, 3), strides=(3, 1), padding="same"), IMAGE, id="average-pooling"),
    pytest.param(lambda: GlobalAveragePooling2D(), IMAGE, id="global-average-pooling"),
    pytest.param(lambda: BatchNormalization(epsilon=0.1), IMAGE, id="batch-normalization"),
    pytest.param(lambda: Dropout(0.4), IMAGE, id="dropout"),
    pytest.param(lambda: Activation("tanh"), IMAGE, id="activation"),
    pytest.param(lambda: ReLU(), IMAGE, id="relu"),
    pytest.param(lambda: Softmax(), (6,), id="softmax"),
    pytest.param(lambda: Rescaling(1 / 127.5, offset=-1), IMAGE, id="rescaling"),
    pytest.param(lambda: Flatten(), IMAGE, id="flatten"),
    pytest.param(lambda: Reshape((7, -1)), IMAGE, id="reshape"),
]


# -- all layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "shape"), EVERY_LAYER)
def test_the_configuration_makes_the_same_layer(make, shape):
    layer = make()
    config = json.loads(json.dumps(layer.get_config()))
    twin = layers.from_config(type(layer).__name__, config)
    x = np.random.default_rng(0).normal(size=(2, *shape))
    assert_array_equal(twin(x, training=True), layer(x, training=True))
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize(("make", "shape"), EVERY_LAYER)
def test_shapes_and_users_arrays_stay_as_they_are(make, shape):
    layer = make()
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    x.flags.writeable = False
    y = layer(x, training=True)
    assert y.dtype == np.float32
    assert y.shape == (3, *layer.output_shape) == (3, *layer.compute_output_shape(shape))
    dy = np.ones_like(y)
    dy.flags.writeable = False
    assert layer.backward(dy).shape == x.shape


@pytest.mark.parametrize(("make", "shape"), EVERY_LAYER)
def test_outputs_of_two_calls_do_not_share_memory(make, shape):
    layer = make()
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, *shape)), rng.normal(size=(2, *shape))
    y = layer(first)
    kept = y.copy()
    layer(second)
    assert_array_equal(y, kept)


@pytest.mark.parametrize("cls", layers.CLASSES.values())
def test_every_class_is_tested_here(cls):
    assert cls is InputLayer or any(type(case.values[0]()) is cls for case in EVERY_LAYER)


def test_a_layer_refuses_inputs_of_another_shape_than_before():
    layer = Dense(2)
    layer(np.ones((1, 3)))
    with pytest.raises(ShapeError, match=r"dense was built for \(None, 3\), but got \(1, 4\)"):
        layer(np.ones((1, 4)))


def test_integers_are_taken_as_numbers():
    layer = Conv2D(1, 1, kernel_initializer="ones")
    assert_array_equal(layer(np.full((1, 2, 2, 1), 255, np.uint8)), np.full((1, 2, 2, 1), 255, np.float32))
    assert layer.dtype == np.float32


@pytest.mark.parametrize(
    ("layer", "shape", "sentence"),
    [
        (Conv2D(1, 3), (4,), r"conv2d: works on images .* got inputs of shape \(None, 4\)"),
        (MaxPooling2D(), (4, 4), r"max_pooling2d: works on images"),
        (Dense(1), (4, 4, 1), r"dense: works on flat inputs .*\(None, 4, 4, 1\)\. Add a Flatten layer"),
        (Conv2D(1, 9), (5, 12, 1), r"conv2d: a window of 9 pixels is larger than the padded image of 5 pixels"),
        (MaxPooling2D(6), (5, 5, 1), r"max_pooling2d: a window of 6 pixels"),
        (MaxPooling2D(2, padding=2), (5, 5, 1), r"max_pooling2d: pool padding"),
        (Reshape((3, -1)), (4,), r"reshape: cannot give \(3, -1\) to inputs of shape \(None, 4\)"),
        (Reshape((-1, -1)), (4,), r"reshape: cannot give"),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, sentence):
    with pytest.raises(ShapeError, match=sentence):
        layer.build(shape)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Conv2D(0, 3), "conv2d: filters must be a whole number of at least 1, but got 0"),
        (lambda: Conv2D(1, 3, strides=0), "conv2d: strides must be"),
        (lambda: Conv2D(1, 3, padding="full"), "conv2d: padding must be"),
        (lambda: Conv2D(1, (3, 3, 3)), "conv2d: kernel_size must be"),
        (lambda: Conv2D(1, None), "conv2d: kernel_size must be one or two integers of at least 1, but got None"),
        (lambda: Conv2D(1, 2.5), "conv2d: kernel_size must be"),
        (lambda: Conv2D(1, ("a", 2)), "conv2d: kernel_size must be"),
        (lambda: Conv2D(1, 3, padding=None), "conv2d: padding must be"),
        (lambda: Conv2D(1, 3, padding=1.5), "conv2d: padding must be"),
        (lambda: Reshape((-2, -4)), "reshape: target_shape is made of whole numbers"),
        (lambda: Reshape(8), "reshape: target_shape must be a tuple of sizes"),
        (lambda: Input(8), "input_layer: input_shape must be a tuple of sizes, such as .*, but got 8"),
        (lambda: Conv2D(1, 3, activation="rellu"), "no activation 'rellu'. Did you mean 'relu'"),
        (lambda: Conv2D(1, 3, kernel_initializer="glorot"), "no initializer 'glorot'"),
        (lambda: MaxPooling2D(0), "max_pooling2d: pool_size must be"),
        (lambda: Dense(2.5, name="head"), "head: units must be a whole number"),
        (lambda: Dropout(1.5), "dropout: rate must be a number of at least 0 and below 1, but got 1.5"),
        (lambda: BatchNormalization(momentum=2), "batch_normalization: momentum"),
        (lambda: layers.from_config("Conv3D", {}), "no layer 'Conv3D'. Did you mean 'Conv2D'"),
        (lambda: layers.from_config("Dense", {"unit": 3}), "Dense cannot be made from"),
    ],
)
def test_arguments_out_of_range(make, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        make()


def test_input_dim_is_short_for_input_shape():
    assert Dense(2, input_dim=5).get_config() == Dense(2, input_shape=(5,)).get_config()


def test_numpy_integers_are_integers():
    conv = Conv2D(1, np.int64(3), strides=np.array([2, 1]), padding=np.int32(1))
    assert (conv.kernel_size, conv.strides, conv.padding) == ((3, 3), (2, 1), ((1, 1), (1, 1)))


# -- weights ----------------------------------------------------------------------------------------------------------


def test_weights_in_keras_order():
    layer = BatchNormalization()
    layer.build((4,))
    assert [p.name for p in layer.weights] == [
        f"batch_normalization/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
    assert [p.trainable for p in layer.weights] == [True, True, False, False]
    conv = Conv2D(3, (1, 2))
    conv.build((4, 4, 5))
    assert [w.shape for w in conv.get_weights()] == [(1, 2, 5, 3), (3,)]
    assert conv.count_params() == (1 * 2 * 5 + 1) * 3


def test_set_weights_checks_first_and_copies():
    layer = Dense(2)
    with pytest.raises(StateError, match="dense has no weights yet"):
        layer.set_weights([])
    layer.build((3,))
    before = layer.get_weights()
    with pytest.raises(ShapeError, match=r"dense/bias has shape \(2,\), but got \(3,\)"):
        layer.set_weights([np.ones((3, 2)), np.ones(3)])
    with pytest.raises(ShapeError, match="dense has 2 weights, but got None"):
        layer.set_weights(None)
    with pytest.raises(DataError, match=r"weights\[1\] must hold numbers"):
        layer.set_weights([np.ones((3, 2)), ["a", "b"]])
    assert_array_equal(layer.get_weights()[0], before[0])
    mine = [np.full((3, 2), 7.0), np.full(2, 8.0)]
    layer.set_weights(mine)
    mine[0][...] = 0
    assert_array_equal(layer.kernel.value, np.full((3, 2), 7))


def test_initial_weights_depend_on_seed_and_name_alone():
    def kernel(**build):
        layer = Dense(3, name=build.pop("name", None))
        layer.build((4,), **build)
        return layer.kernel.value

    assert_array_equal(kernel(seed=1), kernel(seed=1, backend="numpy"))
    assert_allclose(kernel(seed=1), kernel(seed=1, dtype="float64"), rtol=1e-6)
    assert not np.array_equal(kernel(seed=1), kernel(seed=2))
    assert not np.array_equal(kernel(seed=1), kernel(seed=1, name="other"))


def test_default_initializers_are_keras():
    layer = Conv2D(2, 3)
    assert isinstance(layer.kernel_initializer, initializers.GlorotUniform)
    layer.build((5, 5, 4))
    assert_array_equal(layer.bias.value, np.zeros(2))
    assert np.abs(layer.kernel.value).max() <= np.sqrt(6 / (9 * 4 + 9 * 2))


# -- one by one -------------------------------------------------------------------------------------------------------


def test_conv2d_by_hand():
    layer = Conv2D(1, 2, activation="relu", kernel_initializer="ones", bias_initializer=initializers.Constant(-10.0))
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    assert_array_equal(layer(x)[0, :, :, 0], [[0, 2], [10, 14]])  # 8, 12, 20, 24 minus 10
    dx = layer.backward(np.array([[[[100.0], [1.0]], [[10.0], [5.0]]]]))  # the 100 stops at the ReLU
    assert_array_equal(dx[0, :, :, 0], [[0, 1, 1], [10, 16, 6], [10, 15, 5]])
    assert_array_equal(layer.bias.gradient, [16])
    assert_array_equal(layer.kernel.gradient[:, :, 0, 0], [[51, 67], [99, 115]])  # first: 1·1 + 3·10 + 4·5


def test_same_padding_puts_the_odd_pixel_right_and_bottom():
    layer = Conv2D(1, 2, padding="same", kernel_initializer="ones")
    assert_array_equal(layer(np.ones((1, 2, 2, 1)))[0, :, :, 0], [[4, 2], [2, 1]])


def test_average_pooling_does_not_count_padding():
    y = AveragePooling2D(2, padding="same")(np.arange(9.0).reshape(1, 3, 3, 1))
    assert_array_equal(y[0, :, :, 0], [[2, 3.5], [6.5, 8]])


def test_global_average_pooling():
    layer = GlobalAveragePooling2D()
    assert_array_equal(layer(np.arange(12.0).reshape(1, 2, 3, 2)), [[5, 6]])
    assert_array_equal(layer.backward(np.array([[6.0, 12.0]]))[0, 1, 2], [1, 2])


def test_dropout_keeps_the_mean_and_draws_anew_each_step():
    layer = Dropout(0.25)
    x = np.ones((100, 100))
    y = layer(x, training=True)
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert y.mean() == pytest.approx(1, abs=0.03)
    assert_array_equal(layer.backward(x), y)
    assert_array_equal(layer(x, training=True), y)  # the same step: the same mask
    layer.step = 1
    assert not np.array_equal(layer(x, training=True), y)
    assert_array_equal(layer(x), x)
    assert_array_equal(layer.backward(x), x)


def test_dropouts_of_different_names_drop_different_units():
    x = np.ones((4, 50))
    assert not np.array_equal(Dropout(0.5, name="a")(x, training=True), Dropout(0.5, name="b")(x, training=True))


def test_batch_normalization_by_hand():
    layer = BatchNormalization(momentum=0.75, epsilon=0.0)
    x = np.array([[1.0], [3.0]])  # mean 2, variance 1 (the unbiased one would be 2)
    assert_array_equal(layer(x, training=True), [[-1], [1]])
    assert_allclose(layer.moving_mean.value, [0.25 * 2])
    assert_allclose(layer.moving_variance.value, [0.75 * 1 + 0.25 * 1])
    assert_allclose(layer(np.array([[2.5]])), [[2.0]])  # (2.5 - 0.5) / 1


def test_batch_normalization_has_a_gradient_in_inference_too():
    layer = BatchNormalization(epsilon=0.1)
    layer.build(IMAGE, dtype="float64")
    layer.moving_mean.value[:], layer.moving_variance.value[:] = [0.5, -1], [2, 0.3]
    layer.gamma.value[:] = [1.5, -2]
    x = np.random.default_rng(0).normal(size=(3, *IMAGE))
    gradcheck.check_layer(layer, x, training=False).raise_if_wrong()


def test_rescaling():
    assert_allclose(Rescaling(1 / 127.5, offset=-1)(np.array([[0, 255]], np.uint8)), [[-1, 1]])


def test_flatten_goes_row_by_row():
    assert_array_equal(Flatten()(np.arange(12.0).reshape(1, 2, 3, 2)), np.arange(12.0)[None])


@pytest.mark.parametrize("name", ["relu", "sigmoid", "softmax", "tanh"])
def test_an_activation_is_the_same_inside_a_layer_and_alone(name):
    x = np.random.default_rng(0).normal(size=(2, 3))
    dense, inside = Dense(4), Dense(4, activation=name)
    assert_array_equal(inside(x), Activation(name)(dense(x)))
