"""Flat parameters: where they lie, and that layers see them."""

import numpy as np
import pytest

from tinyconv.errors import ArgumentError
from tinyconv.layers.base import Parameter
from tinyconv.parameters import FlatParameters


def make(dtype=np.float32):
    rng = np.random.default_rng(0)
    return [
        Parameter("a/kernel", rng.standard_normal((3, 5)).astype(dtype), True, None),  # 60 bytes in float32
        Parameter("a/mean", rng.standard_normal(4).astype(dtype), False, None),
        Parameter("a/bias", rng.standard_normal(16).astype(dtype), True, None),  # 64 bytes
        Parameter("b/kernel", rng.standard_normal((1, 2, 3)).astype(dtype), True, None),
    ]


@pytest.mark.parametrize(
    ("dtype", "places", "size"),
    [
        (np.float32, {"a/kernel": (0, 15), "a/bias": (16, 32), "b/kernel": (32, 38)}, 48),
        (np.float64, {"a/kernel": (0, 15), "a/bias": (16, 32), "b/kernel": (32, 38)}, 40),
    ],
)
def test_layout(dtype, places, size):
    parameters = make(dtype)
    before = [parameter.value.copy() for parameter in parameters]
    flat = FlatParameters(parameters)
    assert {name: (place.start, place.stop) for name, place in flat.slices.items()} == places
    assert flat.values.shape == flat.gradients.shape == (size,)
    assert flat.values.dtype == flat.gradients.dtype == dtype
    for parameter, value in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.value, value)
    padding = np.ones(size, bool)
    for place in flat.slices.values():
        padding[place] = False
        assert flat.values[place].ctypes.data % 64 == flat.gradients[place].ctypes.data % 64 == 0
    assert (flat.values[padding] == 0).all()


def test_both_ways():
    parameters = make()
    flat = FlatParameters(parameters)
    flat.values[15:18] = 7  # one number of padding, two of the bias
    assert parameters[2].value.tolist()[:3] != [7, 7, 7]
    assert parameters[2].value.tolist()[:2] == [7, 7]
    parameters[3].gradient[0, 1, 2] = 5
    assert flat.gradients[37] == 5
    assert parameters[3].gradient.shape == (1, 2, 3)


def test_gradients_move_too():
    parameters = make()
    parameters[0].gradient[...] = 3
    assert (FlatParameters(parameters).gradients[:15] == 3).all()


def test_parameters_that_are_not_trained_stay_outside():
    parameters = make()
    own = parameters[1].value
    flat = FlatParameters(parameters)
    assert flat.state == [parameters[1]]
    assert parameters[1].value is own
    assert parameters[1].gradient.size == 0


def test_more_arrays_of_the_layout():
    flat = FlatParameters(make())
    array = flat.new_array()
    assert array.shape == flat.values.shape
    assert not array.any()
    flat.views(array)["b/kernel"][0, 0, 0] = 1
    assert np.flatnonzero(array).tolist() == [32]


def test_flattening_again_lets_go_of_the_old_arrays():
    parameters = make()
    old = FlatParameters(parameters)
    value = parameters[0].value.copy()
    FlatParameters(parameters)
    old.values[...] = 0
    np.testing.assert_array_equal(parameters[0].value, value)


def test_no_parameters():
    flat = FlatParameters([])
    assert flat.values.shape == flat.gradients.shape == (0,)


def test_what_cannot_be_flattened():
    parameters = make()
    parameters[3].name = "a/bias"
    with pytest.raises(ArgumentError, match="Two parameters are called 'a/bias'"):
        FlatParameters(parameters)
    with pytest.raises(ArgumentError, match="a/kernel is float32 and b/kernel is float64"):
        FlatParameters([*make()[:1], *make(np.float64)[3:]])
