"""Medians, spreads, ratios round by round, and the mean of ratios: worked out by hand."""

import pytest

from tinyconv.benchmarks.measure import Measurement, geometric_mean


def test_median_and_spread():
    measured = Measurement((8.0, 12.0, 10.0, 30.0))
    assert (measured.median, measured.low, measured.high) == (11.0, 8.0, 30.0)
    assert measured.spread == pytest.approx(1.0)
    assert measured.as_json() == {"median": 11.0, "low": 8.0, "high": 30.0, "rounds": [8.0, 12.0, 10.0, 30.0]}


def test_ratios_are_formed_in_each_round():
    """A disturbance that halves both speeds in one round does not change the ratio."""
    mine, its = Measurement((10.0, 20.0, 20.0)), Measurement((5.0, 10.0, 8.0))
    assert mine.over(its).rounds == (2.0, 2.0, 2.5)
    assert mine.median / its.median == 2.5
    assert mine.over(its).median == 2.0


def test_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 10.0, 100.0]) == pytest.approx(10.0)
