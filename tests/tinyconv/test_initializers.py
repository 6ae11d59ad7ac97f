"""Initializers: ranges and variances from the formulas, names, and configurations that come back."""

import json
from math import sqrt

import numpy as np
import pytest

from tinyconv import initializers, random
from tinyconv.errors import ArgumentError

KEY = random.key(0, "init/test")
KERNEL = (3, 5, 40, 60)  # fan_in 600, fan_out 900


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((4, 6), (4, 6)), ((3, 3, 64, 128), (576, 1152)), ((2, 5, 1, 3), (10, 30))],
)
def test_fans(shape, fans):
    assert initializers.compute_fans(shape) == fans


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / 1500),
        ("glorot_normal", 2 / 1500),
        ("he_uniform", 2 / 600),
        ("he_normal", 2 / 600),
        ("lecun_uniform", 1 / 600),
        ("lecun_normal", 1 / 600),
    ],
)
def test_scaled_ones(name, variance):
    w = initializers.get(name)(KERNEL, KEY)
    assert w.shape == KERNEL
    assert w.dtype == np.float64
    assert abs(w.mean()) < 5 * sqrt(variance / w.size)
    assert w.var() == pytest.approx(variance, rel=0.03)
    cut = sqrt(3 * variance) if name.endswith("uniform") else 2 * sqrt(variance) / 0.8796256610342398
    assert 0.98 * cut < np.abs(w).max() <= cut


def test_the_cut_normal_deviates_by_what_the_constant_says():
    """Variance of a standard normal cut at ±2: 1 - 2 · 2 φ(2) / (Φ(2) - Φ(-2))."""
    density, inside = np.exp(-2) / sqrt(2 * np.pi), 0.9544997361036416
    assert sqrt(1 - 4 * density / inside) == pytest.approx(initializers.CUT_STDDEV, rel=1e-12)


def test_plain_ones():
    assert (initializers.Zeros()((2, 3), KEY) == np.zeros((2, 3))).all()
    assert (initializers.Ones()((2, 3), KEY) == np.ones((2, 3))).all()
    assert (initializers.Constant(0.1)((2, 3), KEY) == np.full((2, 3), 0.1)).all()
    normal = initializers.RandomNormal(1.0, 0.1)((10_000,), KEY)
    assert (normal.mean(), normal.std()) == pytest.approx((1.0, 0.1), rel=0.02)
    uniform = initializers.RandomUniform(2.0, 3.0)((10_000,), KEY)
    assert 2 <= uniform.min() < 2.01
    assert 2.99 < uniform.max() < 3
    cut = initializers.TruncatedNormal(1.0, 0.1)((10_000,), KEY)
    assert np.abs(cut - 1).max() <= 0.2
    untruncated = initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")((100, 50), KEY)
    assert untruncated.var() == pytest.approx(2 / 50, rel=0.05)
    assert np.abs(untruncated).max() > 2.5 * sqrt(2 / 50)


@pytest.mark.parametrize("name", initializers.CLASSES)
def test_a_configuration_comes_back(name):
    one = initializers.get(name)
    again = initializers.get(json.loads(json.dumps(initializers.serialize(one))))
    assert type(again) is type(one)
    assert vars(again) == vars(one)
    np.testing.assert_array_equal(again((3, 4), KEY), one((3, 4), KEY))


def test_arguments_come_back():
    one = initializers.get(initializers.serialize(initializers.RandomNormal(stddev=0.1)))
    assert one.get_config() == {"mean": 0.0, "stddev": 0.1}


def test_names_as_keras_writes_them():
    for name in ("he_normal", "HeNormal", {"class_name": "HeNormal", "config": {}}, initializers.HeNormal):
        assert type(initializers.get(name)) is initializers.HeNormal
    one = initializers.HeNormal()
    assert initializers.get(one) is one


@pytest.mark.parametrize(
    ("identifier", "sentence"),
    [
        ("he_norml", "Did you mean 'he_normal'"),
        (3, "3 is not an initializer"),
        (None, "None is not an initializer"),
        ({"class_name": "Constant", "config": {"size": 1}}, "Constant cannot be made"),
    ],
)
def test_unknown_ones(identifier, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        initializers.get(identifier)


@pytest.mark.parametrize(
    "make",
    [
        lambda: initializers.RandomNormal(stddev=-1),
        lambda: initializers.RandomUniform(1.0, 0.0),
        lambda: initializers.Constant("a"),
        lambda: initializers.Constant(float("nan")),
        lambda: initializers.VarianceScaling(0.0),
        lambda: initializers.VarianceScaling(mode="fan"),
        lambda: initializers.VarianceScaling(distribution="normal"),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(ArgumentError, match="must be"):
        make()
