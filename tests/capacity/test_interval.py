"""Batch means: windows that do not depend on each other, and intervals from them."""

import numpy as np
import pytest

from shadowprice.capacity.interval import mean_interval, quantile_interval, ratio_interval, windows


def test_windows_are_longer_where_neighbours_depend_on_each_other() -> None:
    rng = np.random.default_rng(0)
    steady = np.sort(rng.uniform(0, 1000, 20_000))
    waves = steady[rng.random(20_000) < 0.5 + 0.5 * np.sin(2 * np.pi * steady / 100)]
    few, many = windows(waves, np.ones(len(waves))), windows(steady, np.ones(len(steady)))
    assert many is not None and few is not None
    assert many.count == 64
    assert few.count < 64
    assert few.sums(np.ones(len(waves))).sum() == len(waves)


def test_too_few_requests_or_one_moment_cannot_be_cut() -> None:
    assert windows(np.arange(79.0), np.ones(79)) is None
    assert windows(np.zeros(500), np.ones(500)) is None
    assert windows(np.zeros(0), np.zeros(0)) is None


@pytest.mark.parametrize("seed", range(3))
def test_intervals_of_a_ratio_and_of_a_quantile_hold_the_truth_as_often_as_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratio = quantile = mean = 0
    for _ in range(200):
        arrival = np.cumsum(rng.exponential(1.0, 4000))
        value = rng.exponential(1.0, 4000)
        cut = windows(arrival, value)
        assert cut is not None
        low, high = ratio_interval(cut.sums(value), cut.sums(np.ones(4000)))
        ratio += low <= 1.0 <= high
        low, high = quantile_interval(value, 0.99, cut)
        quantile += low <= -np.log(0.01) <= high
        low, high = mean_interval(cut.sums(value), cut.seconds)
        mean += low <= 1.0 <= high
    assert min(ratio, quantile, mean) >= 178  # of 200 at 95 %: less than once in a thousand times


def test_quantile_without_bound_in_sight_has_no_upper_end() -> None:
    arrival = np.arange(100.0)
    value = np.where(arrival > 97, 5.0, 1.0)
    value[3] = np.nan
    cut = windows(arrival, np.ones(100))
    assert cut is not None
    assert quantile_interval(value, 0.99, cut)[1] == np.inf
