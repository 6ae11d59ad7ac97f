"""The reference networks have exactly their lessons' layers and parameters."""

import numpy as np
import pytest

from tinyconv import zoo
from tinyconv.errors import ArgumentError, ShapeError

PARAMETERS = {
    "course_cnn": 1_199_882,
    "simple_cnn": 693_962,
    "simple_cnn_dropout": 693_962,
    "two_conv_cnn": 832 + 18_496 + (5 * 5 * 64 + 1) * 128 + 1_290,
    "fashion_perceptron": 7_850,
    "mnist_convnet": 485_514,
    "fashion_items": 411_242,
    "feature_map_net": 320 + 18_496 + 73_856 + (3 * 3 * 128 + 1) * 10,
    "lenet5": 61_706,
    "cats_and_dogs": 896 + 9_248 + (14 * 14 * 32 + 1) * 128 + 129,
    "cifar10_cnn": 4_239_978,
    "flowers": 2_432 + 18_496 + 55_392 + 83_040 + (9 * 9 * 96 + 1) * 512 + 513 * 5,
    "scenes": 896 + 9_248 + (36 * 36 * 32 + 1) * 128 + 129 * 6,
}


def test_names_are_all_there():
    assert set(zoo.names()) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    assert zoo.build(name, backend="numpy").count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name not in ("flowers", "scenes")])
def test_one_step_of_training(name):
    """Compiled as its lesson says, each network takes a batch, gives probabilities, and learns something."""
    entry, model = zoo.entry(name), zoo.build(name, backend="numpy")
    rng = np.random.default_rng(0)
    x = rng.random((4, *entry.input_shape), np.float32)
    y = rng.integers(0, entry.classes, 4)
    before = model.get_weights()
    model.fit(x, y, batch_size=4, verbose=0)
    assert any(not np.array_equal(was, now) for was, now in zip(before, model.get_weights(), strict=True))
    probabilities = model.predict(x)
    assert probabilities.shape == (4, 1 if entry.classes == 2 else entry.classes)
    assert np.all((probabilities >= 0) & (probabilities <= 1))


def test_layer_shapes_of_the_mnist_listing():
    shapes = [layer.output_shape for layer in zoo.build("mnist_convnet", backend="numpy").layers if layer.parameters]
    assert shapes == [(26, 26, 64), (11, 11, 128), (128,), (10,)]


def test_cifar10_starts_from_wide_normal_weights_and_positive_biases():
    model = zoo.build("cifar10_cnn", backend="numpy", seed=3)
    dense = next(layer for layer in model.layers if layer.output_shape == (1024,) and layer.parameters)
    assert np.std(dense.kernel.value) == pytest.approx(0.1, rel=0.01)
    np.testing.assert_array_equal(dense.bias.value, np.float32(0.1))


def test_other_images_and_classes():
    model = zoo.build("scenes", input_shape=(40, 48, 1), classes=3, backend="numpy")
    assert model.output_shape[-1] == 3
    assert model.input_shape[-3:] == (40, 48, 1)


def test_seed_decides_the_weights():
    one, again, other = (zoo.build("lenet5", backend="numpy", seed=seed).get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'lenet5'"):
        zoo.build("lenet")
    with pytest.raises(ArgumentError, match="Did you mean 'one_cycle'"):
        zoo.build("lenet5", schedule="onecycle")
    with pytest.raises(ArgumentError, match="Did you mean 'adam'"):
        zoo.build("lenet5", optimizer="adan")


def test_images_too_small_for_the_layers():
    with pytest.raises(ShapeError, match="c3"):
        zoo.build("lenet5", input_shape=(6, 6, 1), backend="numpy")


def test_a_sigmoid_tells_two_classes_apart():
    with pytest.raises(ArgumentError, match="two classes"):
        zoo.build("cats_and_dogs", classes=3)
