import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_files import assert_same_columns, full_trace

from shadowprice.errors import TraceError
from shadowprice.workload import (
    Trace,
    concatenate,
    describe,
    merge,
    poisson_arrivals,
    resample,
    scale_rate,
    shift,
    slice_time,
    stagger_sessions,
    thin,
)


def poisson(n: int, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    return Trace(poisson_arrivals(n, 5.0, rng), rng.integers(1, 900, n), rng.integers(1, 90, n), name=f"p{seed}")


def test_scaling_the_rate_multiplies_it_and_keeps_the_first_arrival():
    trace = shift(full_trace(10), 7.0)
    fast = scale_rate(trace, 4.0)
    assert fast.rate_per_s == pytest.approx(4 * trace.rate_per_s)
    assert fast.arrival_s[0] == 7.0
    np.testing.assert_allclose(scale_rate(fast, 0.25).arrival_s, trace.arrival_s)


def test_a_slice_is_half_open_and_slices_make_up_the_whole():
    trace = full_trace(10)
    assert slice_time(trace, 1 / 3, 1.0).arrival_s.tolist() == [1 / 3, 2 / 3]
    assert_same_columns(merge([slice_time(trace, 0, 1.1), slice_time(trace, 1.1, 9)]), merge([trace]))


def test_thinning_keeps_the_share_and_the_order():
    trace = poisson(20_000)
    thinned = thin(trace, 0.3, np.random.default_rng(1))
    assert len(thinned) == pytest.approx(6000, abs=200)
    assert np.isin(thinned.arrival_s, trace.arrival_s).all()
    assert describe(thinned).interarrival_cv == pytest.approx(1, abs=0.03)
    assert (
        len(thin(trace, 0.0, np.random.default_rng(1))) == 0
        and len(thin(trace, 1.0, np.random.default_rng(1))) == 20_000
    )


def test_concatenation_lays_traces_end_to_end():
    trace = full_trace(4)
    both = concatenate([trace, trace], gap_s=2.0)
    assert len(both) == 8
    np.testing.assert_allclose(both.arrival_s[4:], trace.arrival_s + 1.0 + 2.0)
    assert both.tenant.tolist() == 2 * trace.tenant.tolist()
    assert [both.prefix[i].tolist() for i in range(8)] == 2 * [trace.prefix[i].tolist() for i in range(4)]


def test_joined_traces_keep_their_sessions_apart():
    joined = merge([full_trace(4), full_trace(4)])
    sessions = joined.session[joined.session >= 0]
    assert np.count_nonzero(joined.session == -1) == 2
    assert len(np.unique(sessions)) == len(sessions) == 6


@given(seed=st.integers(0, 1000), parts=st.integers(1, 4))
def test_merging_keeps_every_request_in_order(seed, parts):
    traces = [poisson(5 + i, seed + i) for i in range(parts)]
    merged = merge(traces)
    assert np.all(np.diff(merged.arrival_s) >= 0)
    key = lambda trace: sorted(zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True))  # noqa: E731
    assert key(merged) == sorted(row for trace in traces for row in key(trace))


def test_traces_with_different_columns_do_not_join():
    with pytest.raises(TraceError, match="only one of them has predicted_output"):
        merge([full_trace(3), poisson(3)])
    with pytest.raises(TraceError, match="no trace to join"):
        merge([])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), duration_s=st.floats(1, 3000), window_s=st.floats(0.5, 100))
def test_resampled_requests_come_from_the_source(seed, duration_s, window_s):
    trace = poisson(2000, 3)
    again = resample(trace, duration_s, np.random.default_rng(seed), window_s)
    if len(again):
        assert again.arrival_s[0] >= 0 and again.arrival_s[-1] < duration_s
    pairs = set(zip(trace.prompt_tokens, trace.output_tokens, strict=True))
    assert set(zip(again.prompt_tokens, again.output_tokens, strict=True)) <= pairs


def test_resampling_keeps_rate_and_burstiness_and_follows_the_seed():
    trace = poisson(20_000)
    again = resample(trace, 20_000, np.random.default_rng(5))
    assert again.rate_per_s == pytest.approx(5.0, rel=0.03)
    assert describe(again).interarrival_cv == pytest.approx(1, abs=0.03)
    assert_same_columns(again, resample(trace, 20_000, np.random.default_rng(5)))


def test_staggered_sessions_keep_their_pauses():
    n = 400
    trace = Trace(
        np.repeat(np.arange(4.0), 100), np.ones(n, int), np.arange(n) + 1, session=np.tile(np.arange(100) - 1, 4)
    )
    apart = stagger_sessions(trace, 0.1, np.random.default_rng(0))
    for session in range(99):
        np.testing.assert_allclose(np.diff(apart.arrival_s[apart.session == session]), 1.0)
    assert apart.arrival_s[apart.session == -1].tolist() == [0, 1, 2, 3]
    assert apart.span_s == pytest.approx(990, rel=0.4)
    with pytest.raises(TraceError, match="no request has a session"):
        stagger_sessions(poisson(3), 1.0, np.random.default_rng(0))


def test_meaningless_arguments_are_errors():
    trace, rng = poisson(100), np.random.default_rng(0)
    for call in (
        lambda: scale_rate(trace, 0.0),
        lambda: scale_rate(trace, np.nan),
        lambda: slice_time(trace, 2.0, 2.0),
        lambda: thin(trace, 1.5, rng),
        lambda: shift(trace, np.inf),
        lambda: concatenate([trace], gap_s=-1.0),
        lambda: resample(trace, 10.0, rng, window_s=1e6),
        lambda: resample(trace, 0.0, rng, window_s=1.0),
    ):
        with pytest.raises(TraceError, match="expected"):
            call()
