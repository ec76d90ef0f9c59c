from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shadowprice.errors import TraceError
from shadowprice.workload import (
    PRESETS,
    Sizes,
    Trace,
    describe,
    diurnal_arrivals,
    fixed_lengths,
    gamma_arrivals,
    generate,
    lognormal_lengths,
    on_off_arrivals,
    poisson_arrivals,
    quantile_lengths,
)
from shadowprice.workload.statistics import dispersion

ARRIVALS = {
    "poisson": poisson_arrivals,
    "gamma": partial(gamma_arrivals, cv=3.0),
    "on/off": partial(on_off_arrivals, on_s=5.0, off_s=20.0, off_to_on=0.1),
    "on/silent": partial(on_off_arrivals, on_s=5.0, off_s=20.0),
    "diurnal": partial(diurnal_arrivals, amplitude=0.8, period_s=500.0),
    "diurnal to zero": partial(diurnal_arrivals, amplitude=1.0, period_s=500.0),
}


@pytest.mark.parametrize("name", ARRIVALS)
def test_arrivals_rise_and_keep_the_mean_rate(name):
    arrival_s = ARRIVALS[name](200_000, 4.0, np.random.default_rng(2))
    assert np.all(np.diff(arrival_s) >= 0) and arrival_s[0] >= 0 and np.isfinite(arrival_s).all()
    assert len(arrival_s) / arrival_s[-1] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("name", ARRIVALS)
def test_the_same_seed_gives_the_same_arrivals(name):
    first, same, other = (ARRIVALS[name](50, 4.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    assert len(ARRIVALS[name](0, 4.0, np.random.default_rng(1))) == 0


def test_poisson_gaps_are_exponential():
    gaps_s = np.diff(poisson_arrivals(20_000, 3.0, np.random.default_rng(0)))
    assert stats.kstest(gaps_s, "expon", args=(0, 1 / 3)).pvalue > 0.01


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_gamma_gaps_have_the_asked_cv(cv):
    gaps_s = np.diff(gamma_arrivals(200_000, 3.0, np.random.default_rng(0), cv=cv))
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.03)


def test_on_silent_arrivals_have_the_dispersion_of_an_interrupted_poisson_process():
    # closed form: 1 + 2 r_on (1 - p) / k with p the share on and k the sum of both switching rates
    on_s, off_s, rate = 5.0, 20.0, 4.0
    share, switch = on_s / (on_s + off_s), 1 / on_s + 1 / off_s
    limit = 1 + 2 * (rate / share) * (1 - share) / switch
    arrival_s = on_off_arrivals(400_000, rate, np.random.default_rng(1), on_s=on_s, off_s=off_s)
    ones = np.ones(len(arrival_s), int)
    window = 100.0 * switch
    at_100s = 1 + (limit - 1) * (1 - (1 - np.exp(-window)) / window)
    assert dispersion(Trace(arrival_s, ones, ones), 100.0) == pytest.approx(at_100s, rel=0.2)
    gaps_s = np.diff(arrival_s)
    assert (gaps_s.std() / gaps_s.mean()) ** 2 == pytest.approx(limit, rel=0.1)


def test_diurnal_arrivals_follow_the_cosine():
    arrival_s = diurnal_arrivals(400_000, 4.0, np.random.default_rng(3), amplitude=0.8, period_s=1000.0, peak_s=300.0)
    counts, edges = np.histogram(arrival_s % 1000.0, bins=20, range=(0, 1000))
    wave = 1 + 0.8 * np.cos(2 * np.pi * ((edges[:-1] + edges[1:]) / 2 - 300) / 1000)
    np.testing.assert_allclose(counts / counts.mean(), wave, atol=0.05)


def test_lognormal_lengths_have_median_and_sigma():
    tokens = lognormal_lengths(300, 0.8)(np.random.default_rng(0).random(100_000))
    assert np.median(tokens) == pytest.approx(300, rel=0.02)
    assert np.log(tokens).std() == pytest.approx(0.8, rel=0.02)


@settings(deadline=None)
@given(table=st.lists(st.integers(1, 10**6), min_size=2, max_size=9), seed=st.integers(0, 99))
def test_quantile_lengths_stay_inside_the_table_and_meet_its_points(table, seed):
    table.sort()
    probabilities = np.linspace(0, 1, len(table)).tolist()
    lengths = quantile_lengths(probabilities, table)
    assert lengths(np.array(probabilities)).tolist() == table
    tokens = lengths(np.random.default_rng(seed).random(50))
    assert table[0] <= tokens.min() and tokens.max() <= table[-1]


def test_lengths_are_whole_and_at_least_one_at_the_ends_of_the_unit_interval():
    ends = np.array([0.0, 1e-300, 1 - 1e-16, 1.0])
    for lengths in (fixed_lengths(3), lognormal_lengths(2, 5.0), quantile_lengths([0, 1], [1, 9])):
        tokens = lengths(ends)
        assert tokens.dtype == np.int64 and tokens.min() >= 1 and tokens.max() <= 10**9


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 1.0])
def test_the_copula_gives_the_asked_rank_correlation(correlation):
    lengths = lognormal_lengths(10_000, 1.0)
    rng = np.random.default_rng(0)
    trace = generate(poisson_arrivals, Sizes(lengths, lengths, correlation), rng, rate_per_s=1.0, requests=50_000)
    rank = stats.spearmanr(trace.prompt_tokens, trace.output_tokens)[0]
    assert rank == pytest.approx(6 / np.pi * np.arcsin(correlation / 2), abs=0.02)


@pytest.mark.parametrize("name", ARRIVALS)
def test_a_duration_ends_the_trace_and_is_filled(name):
    rng = np.random.default_rng(4)
    trace = generate(ARRIVALS[name], Sizes(fixed_lengths(5), fixed_lengths(2)), rng, rate_per_s=4.0, duration_s=2000.0)
    assert trace.arrival_s[-1] < 2000.0
    assert len(trace) == pytest.approx(8000, rel=0.5)  # four standard deviations of the burstiest
    both = generate(
        ARRIVALS[name], Sizes(fixed_lengths(5), fixed_lengths(2)), rng, rate_per_s=4.0, duration_s=2000.0, requests=10
    )
    assert len(both) == 10


def test_meaningless_parameters_are_errors():
    rng = np.random.default_rng(0)
    fixed = fixed_lengths(1)
    for call in (
        lambda: generate(poisson_arrivals, Sizes(fixed, fixed), rng, rate_per_s=1.0),
        lambda: generate(poisson_arrivals, Sizes(fixed, fixed), rng, rate_per_s=0.0, requests=1),
        lambda: generate(poisson_arrivals, Sizes(fixed, fixed), rng, rate_per_s=1.0, requests=0),
        lambda: generate(poisson_arrivals, Sizes(fixed, fixed), rng, rate_per_s=1.0, duration_s=-1.0),
        lambda: generate(poisson_arrivals, Sizes(fixed, fixed, 2.0), rng, rate_per_s=1.0, requests=1),
        lambda: gamma_arrivals(1, 1.0, rng, cv=0.0),
        lambda: on_off_arrivals(1, 1.0, rng, on_s=0.0, off_s=1.0),
        lambda: on_off_arrivals(1, 1.0, rng, on_s=1.0, off_s=1.0, off_to_on=2.0),
        lambda: diurnal_arrivals(1, 1.0, rng, amplitude=1.5),
        lambda: fixed_lengths(0),
        lambda: lognormal_lengths(0.5, 1.0),
        lambda: quantile_lengths([0.0], [1.0]),
    ):
        with pytest.raises(TraceError, match="expected"):
            call()
    for probabilities, tokens in (([0.1, 1], [1, 2]), ([0, 1], [2, 1])):
        with pytest.raises(TraceError, match="must"):
            quantile_lengths(probabilities, tokens)


def test_a_generated_trace_is_described_as_asked():
    rng = np.random.default_rng(0)
    trace = generate(
        poisson_arrivals, Sizes(fixed_lengths(7), lognormal_lengths(90, 0.5)), rng, rate_per_s=8.0, requests=30_000
    )
    statistics = describe(trace)
    assert statistics.rate_per_s == pytest.approx(8, rel=0.02)
    assert statistics.interarrival_cv == pytest.approx(1, abs=0.02)
    assert statistics.dispersion_60s == pytest.approx(1, abs=0.6)


@pytest.mark.parametrize(("requests", "duration_s"), [(10**12, None), (None, 1e15), (10**12, 1.0)])
def test_a_trace_that_no_machine_holds_is_refused(requests: int | None, duration_s: float | None) -> None:
    with pytest.raises(TraceError, match="expected"):
        PRESETS["azure-conv-like"](np.random.default_rng(0), requests=requests, duration_s=duration_s)
