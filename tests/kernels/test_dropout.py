"""Dropout: which elements are kept, by hand from Philox's known answers, and that backward keeps the same."""

import tracemalloc
from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.dropout import definition, parallel

ZERO_KEY = PhiloxKey(0, 0, 0)  # its first words are 0x6627e8d5 0xe169c58d 0xbc57ac4c 0x9b00dbd8, as Random123 publishes
KEY = PhiloxKey(42, 0x12345678, 9)


@pytest.fixture(params=registry.RUNGS["dropout"])
def dropout(request: pytest.FixtureRequest) -> ModuleType:
    return registry.implementation("dropout", request.param)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.0, [1, 2, 3, 4]),
        (0.25, [4 / 3, 8 / 3, 4, 16 / 3]),  # the smallest word is 0.399 · 2³²
        (0.5, [0, 4, 6, 8]),
        (0.75, [0, 8, 0, 0]),  # 0xe169c58d is 0.88 · 2³², 0xbc57ac4c 0.736
    ],
)
def test_by_hand(dropout, rate, expected):
    x = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(dropout.forward(x, rate, ZERO_KEY), expected, rtol=1e-15)


def test_the_threshold_itself_is_kept(dropout):
    word = 0x6627E8D5
    assert dropout.forward(np.ones(1), word / 2**32, ZERO_KEY)[0] > 1
    assert dropout.forward(np.ones(1), (word + 0.5) / 2**32, ZERO_KEY)[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 4095, 4096, 4097, 8195])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.999])
def test_parallel_is_the_definition(dtype, size, rate):
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    got, expected = parallel.forward(x, rate, KEY), definition.forward(x, rate, KEY)
    assert got.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(got, expected)


def test_images_flatten_row_by_row(dropout):
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(np.float32)
    y = dropout.forward(x, 0.4, KEY)
    assert y.shape == x.shape
    np.testing.assert_array_equal(y.reshape(-1), dropout.forward(x.reshape(-1), 0.4, KEY))


@pytest.mark.parametrize("change", [lambda x: x[::-1, ::2], np.asfortranarray, np.transpose])
def test_any_memory_order(dropout, change):
    x = change(np.random.default_rng(0).standard_normal((6, 10)))
    x.flags.writeable = False
    np.testing.assert_array_equal(dropout.forward(x, 0.4, KEY), definition.forward(x.copy(order="C"), 0.4, KEY))


def test_in_place_and_into_out(dropout):
    x = np.random.default_rng(0).standard_normal(5003).astype(np.float32)
    expected = definition.forward(x, 0.5, KEY)
    out = np.empty_like(x)
    assert dropout.forward(x, 0.5, KEY, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert dropout.forward(x, 0.5, KEY, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_backward_has_the_same_mask(dropout):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((2, 4, 5, 6))
    forward, backward = (dropout.forward(x, 0.3, KEY) * dy).sum(), (x * dropout.backward(dy, 0.3, KEY)).sum()
    np.testing.assert_allclose(forward, backward, rtol=1e-12)
    np.testing.assert_array_equal(dropout.forward(x, 0.3, KEY) == 0, dropout.backward(dy, 0.3, KEY) == 0)


def test_what_is_dropped_is_zero_whatever_it_was(dropout):
    for value in (np.nan, np.inf):
        y = dropout.forward(np.full(4, value, np.float32), 0.5, ZERO_KEY)
        np.testing.assert_array_equal(y, np.array([0, value, value, value], np.float32))


def test_the_part_that_is_kept(dropout):
    y = dropout.forward(np.ones(40_000), 0.3, KEY)
    assert abs((y != 0).mean() - 0.7) < 0.0115  # five standard deviations
    assert not np.array_equal(y, dropout.forward(np.ones(40_000), 0.3, KEY._replace(step=10)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_that_is_none(dropout, rate):
    with pytest.raises(ValueError, match="rate"):
        dropout.forward(np.ones(3), rate, KEY)


def test_parallel_allocates_no_mask():
    x = np.ones(100_000, np.float32)
    parallel.forward(x, 0.5, KEY, out=x)
    tracemalloc.start()
    parallel.forward(x, 0.5, KEY, out=x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000
