"""The explanation of a number: by hand on small arrays, and adding up on every layer there is."""

import json
from itertools import product

import numpy as np
import pytest

from tinyconv import layers, zoo
from tinyconv.web import look, network, probe


def explained(layer, x, place):
    x = np.asarray(x, np.float32)
    y = layer(x[None])[0]
    return probe.explain(layer, x, y, place)


def test_convolution_by_hand():
    layer = layers.Conv2D(1, 2, kernel_initializer="ones", bias_initializer="ones")
    found = explained(layer, np.arange(9).reshape(3, 3, 1), (1, 0, 0))
    assert found["window"] == [[[3], [4]], [[6], [7]]]
    assert (found["rows"], found["columns"]) == ([1, 2], [0, 1])
    assert (found["sums"], found["bias"], found["total"], found["value"]) == ([20], 1, 21, 21)
    assert found["adds_up"]


def test_padding_strides_and_dilation_by_hand():
    layer = layers.Conv2D(1, 2, strides=2, padding=1, dilation_rate=1, kernel_initializer="ones")
    found = explained(layer, np.arange(9).reshape(3, 3, 1), (0, 1, 0))
    assert (found["rows"], found["columns"]) == ([-1, 0], [1, 2])
    assert found["window"] == [[[0], [0]], [[1], [2]]]
    layer = layers.Conv2D(1, 2, dilation_rate=2, kernel_initializer="ones")
    found = explained(layer, np.arange(9).reshape(3, 3, 1), (0, 0, 0))
    assert found["window"] == [[[0], [2]], [[6], [8]]]


def test_channels_add_up():
    layer = layers.Conv2D(2, 1, kernel_initializer="ones", activation="relu")
    found = explained(layer, [[[1, -5]]], (0, 0, 1))
    assert (found["sums"], found["total"], found["activation"], found["value"]) == ([1, -5], -4, "relu", 0)


def test_pooling_by_hand():
    x = np.array([[4, 7, 1], [3, 3, 9], [6, 4, 5]])[..., None]
    found = explained(layers.MaxPooling2D(2), x, (0, 0, 0))
    assert (found["window"], found["winner"], found["value"]) == ([[4, 7], [3, 3]], [0, 1], 7)
    found = explained(layers.MaxPooling2D(2, padding="same"), x, (1, 1, 0))
    assert found["window"] == [[5, None], [None, None]]  # padding is no number
    found = explained(layers.AveragePooling2D(2, padding="same"), x, (0, 1, 0))
    assert (found["kind"], found["value"]) == ("mean", 5)


def test_one_map_becomes_one_number_by_hand():
    x = np.stack([np.full((2, 3), 9), np.arange(6).reshape(2, 3)], axis=-1)
    found = explained(layers.GlobalAveragePooling2D(), x, (1,))
    assert (found["kind"], found["window"], found["value"]) == ("mean", [[0, 1, 2], [3, 4, 5]], 2.5)
    assert found["adds_up"]


def test_where_a_number_was_before():
    x = np.arange(12).reshape(2, 3, 2)
    assert explained(layers.Flatten(), x, (7,))["from"] == [1, 0, 1]
    assert explained(layers.Reshape((3, 4)), x, (2, 3))["from"] == [1, 2, 1]


def test_a_wrong_sum_is_found():
    layer = layers.Conv2D(1, 2, kernel_initializer="ones")
    x = np.ones((3, 3, 1), np.float32)
    y = layer(x[None])[0]
    assert probe.explain(layer, x, y, (0, 0, 0))["adds_up"]
    assert not probe.explain(layer, x, y + 0.01, (0, 0, 0))["adds_up"]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_every_number_of_the_labs_network_adds_up(backend):
    """Checked on a spread of places of each layer; messages are JSON."""
    model = network.build(backend, seed=3)
    seen = look.forward(model, np.random.default_rng(1).random(network.IMAGE).astype(np.float32))
    kinds = set()
    for index, layer in enumerate(model.layers):
        y = seen.outputs[index + 1]
        for place in product(*(sorted({0, size // 3, size - 1}) for size in y.shape)):
            found = probe.explain(layer, seen.outputs[index], y, place)
            assert found["adds_up"], (layer.name, place, found)
            assert found["value"] == pytest.approx(float(y[place]), rel=1e-6)
            json.dumps(found)
            kinds.add(found["kind"])
    assert kinds == {"conv2d", "activation", "max", "moved", "dense", "softmax"}


@pytest.mark.parametrize("name", ["lenet5", "fashion_items", "fashion_perceptron", "simple_cnn_dropout"])
def test_networks_of_the_zoo_add_up(name):
    model = zoo.build(name, backend="numpy", fuse=False)
    seen = look.forward(model, np.random.default_rng(1).random(network.IMAGE).astype(np.float32))
    for index, layer in enumerate(model.layers):
        y = seen.outputs[index + 1]
        place = tuple(size // 2 for size in y.shape)
        assert probe.explain(layer, seen.outputs[index], y, place)["adds_up"], layer.name
