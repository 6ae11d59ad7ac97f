"""Random numbers: golden values, distributions, and that streams do not depend on each other."""

from math import erf, sqrt

import numpy as np
import pytest

from tinyconv import random
from tinyconv.kernels.contract import PhiloxKey

ZERO_KEY = PhiloxKey(0, 0, 0)  # its first words are 0x6627e8d5 0xe169c58d 0xbc57ac4c 0x9b00dbd8, as Random123 publishes


def test_a_key_is_seed_stream_hash_and_step():
    assert random.key(5, "123456789", 7) == PhiloxKey(5, 0xCBF43926, 7)  # the check value in every table of CRC-32
    assert random.key(-1, "x").seed == 2**64 - 1
    assert random.key(np.int64(3), "x", np.uint8(4)) == random.key(3, "x", 4)
    with pytest.raises(TypeError):
        random.key(0.5, "x")


def test_uniform_is_the_word_over_two_to_the_32():
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    np.testing.assert_array_equal(random.uniform(ZERO_KEY, (4,)), words / 2**32)
    np.testing.assert_allclose(random.uniform(ZERO_KEY, (2, 2), -1.0, 3.0), (words / 2**30 - 1.0).reshape(2, 2))


def test_normal_is_the_transform_of_box_and_muller():
    u = (np.array([0x6627E8D5, 0xE169C58D]) + 1.0) / 2**32  # radii of the first and second pair
    angle = 2 * np.pi * np.array([0xBC57AC4C, 0x9B00DBD8]) / 2**32
    radius = np.sqrt(-2 * np.log(u))
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    np.testing.assert_allclose(random.normal(ZERO_KEY, (4,)), expected, rtol=1e-14)
    np.testing.assert_allclose(random.normal(ZERO_KEY, (4,), 10.0, 2.0), 10 + 2 * expected, rtol=1e-14)


def _largest_gap(values: np.ndarray, distribution) -> float:
    """Kolmogorov and Smirnov's statistic, times √n: above 1.95 once in a thousand times."""
    ordered = np.sort(values)
    steps = np.arange(1, ordered.size + 1) / ordered.size
    return float(np.abs(steps - [distribution(value) for value in ordered]).max() * sqrt(ordered.size))


def _normal_cdf(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


def test_distributions():
    source = random.key(1, "test")
    inside = _normal_cdf(2) - _normal_cdf(-2)
    assert _largest_gap(random.uniform(source, (20_000,)), lambda x: x) < 1.95
    assert _largest_gap(random.normal(source, (20_000,)), _normal_cdf) < 1.95
    truncated = random.truncated_normal(source, (20_000,))
    assert np.abs(truncated).max() <= 2
    assert _largest_gap(truncated, lambda x: (_normal_cdf(x) - _normal_cdf(-2)) / inside) < 1.95


def test_what_is_redrawn_is_new():
    values = random.truncated_normal(random.key(1, "test"), (20_001,))
    assert np.unique(values).size == values.size
    plain = random.normal(random.key(1, "test"), (20_001,))
    near = np.abs(plain) <= 2
    np.testing.assert_array_equal(values[near], plain[near])


@pytest.mark.parametrize("draw", [random.uniform, random.normal, random.truncated_normal])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0, 2), (3, 5)])
def test_shapes(draw, shape):
    values = draw(random.key(0, "test"), shape)
    assert values.shape == shape
    assert values.dtype == np.float64


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_permutation_has_each_number_once(size):
    order = random.permutation(random.key(0, "shuffle", 3), size)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_permutations_of_three_are_equally_likely():
    orders = [tuple(random.permutation(random.key(0, "shuffle", step), 3)) for step in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(abs(count - 500) for count in counts) < 102  # five standard deviations


def test_streams_steps_and_seeds_are_unrelated():
    base = random.normal(random.key(0, "init/a"), (4000,))
    for other in (random.key(1, "init/a"), random.key(0, "init/b"), random.key(0, "init/a", 1)):
        assert abs(np.corrcoef(base, random.normal(other, (4000,)))[0, 1]) < 0.08


def test_nothing_depends_on_what_was_drawn_before():
    source = random.key(9, "shuffle", 2)
    first = random.permutation(source, 50)
    random.normal(random.key(9, "augment"), (100,))
    np.testing.assert_array_equal(first, random.permutation(source, 50))
