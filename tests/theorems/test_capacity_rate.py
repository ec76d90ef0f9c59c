"""Tries to break the closed form of the stable rate, and measures how near a simulated worker comes to it."""

from functools import cache

import numpy as np
import pytest
from capacity_grid import mix, settings
from saturation import Growth, Sustained, growth_load, saturated_load

from shadowprice.capacity import stability
from shadowprice.fleet import Worker, read_fleet
from shadowprice.scheduling.policies import Gate, Ranked, fcfs, mc_benchmark
from shadowprice.workload import Sizes, Trace, fixed_lengths, generate, poisson_arrivals


def peak_reservation() -> Ranked:
    return Ranked("fcfs, peak reserved", mc_benchmark().key, Gate.RESERVE_PEAK)


@cache
def grid() -> list[tuple[str, Growth, Sustained, Sustained, Sustained]]:
    """Name, and load kept up in arrival order: by bisection and saturated under look-ahead, reserved, optimistic."""
    rows = []
    for name, trace, worker in settings(4000):
        kept = [saturated_load(trace, worker, policy) for policy in (mc_benchmark(), peak_reservation(), fcfs())]
        rows.append((name, growth_load(trace, worker, mc_benchmark()), *kept))
    return rows


def test_queue_grows_no_later_than_the_closed_form_says() -> None:
    assert len(grid()) == 60
    for name, growth, *kept in grid():
        assert growth.load <= 1 + min(growth.error, 0.03), name  # the proved error is that of all the work in flight
        for sustained in kept:
            assert sustained.of_all <= 1 + 1e-9, name  # no statistics in this one


def test_queue_grows_within_3_percent_of_the_closed_form_in_the_mean_and_8_at_worst() -> None:
    off = np.array([abs(1 - growth.load) for _, growth, *_ in grid()])
    assert off.mean() < 0.03
    assert off.max() < 0.08


def test_saturated_work_and_bisection_agree() -> None:
    for name, growth, ahead, *_ in grid():
        assert growth.load == pytest.approx(ahead.load, abs=0.03), name


def test_peak_reservation_wastes_what_requests_have_not_grown_to_yet() -> None:
    wasted = {name: ahead.load - reserved.load for name, _, ahead, reserved, _ in grid()}
    assert np.mean(list(wasted.values())) > 0.05
    assert wasted["reasoning, 16 fit, 256 sequences, 8192 tokens"] > 0.25
    assert max(waste for name, waste in wasted.items() if name.startswith("code")) < 0.01
    assert min(wasted.values()) > -0.02


def test_requests_of_one_length_march_in_waves_and_lose_more() -> None:
    """The case outside the grid: whoever is admitted together finishes together, so memory empties in between."""
    rng = np.random.default_rng(0)
    trace = generate(
        poisson_arrivals, Sizes(fixed_lengths(512), fixed_lengths(256)), rng, rate_per_s=1.0, requests=2000
    )
    worker = _holding(trace, 16)
    assert 0.8 < saturated_load(trace, worker, mc_benchmark()).load < 0.9
    assert saturated_load(trace, worker, fcfs()).load > 0.9


def test_few_requests_at_once_lose_to_rounding() -> None:
    trace = mix("chat", 2000)
    assert saturated_load(trace, _holding(trace, 8), mc_benchmark()).load < 0.93


def test_prefix_hits_raise_the_rate_by_what_they_spare() -> None:
    """Without KV reading cost, a cached prefix in shared blocks is as if it were not there: the same simulation."""
    base = read_fleet("llama-3.1-8b-h100").worker
    time = type(base.step_time)(base.step_time.fixed_s, base.step_time.per_sequence_s, 0.0, 4e-5)
    trace = mix("chat", 4000)
    cached = trace.prompt_tokens // 2 // 16 * 16
    worker = Worker(time, kv_tokens=int(64 * (trace.prompt_tokens + trace.output_tokens).mean()))
    hit = Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, cached_tokens=cached)
    left = Trace(trace.arrival_s, trace.prompt_tokens - cached, trace.output_tokens)
    assert stability(hit, worker).rate_max_per_s == pytest.approx(stability(left, worker).rate_max_per_s, rel=1e-9)
    assert stability(hit, worker).rate_max_per_s > 1.3 * stability(trace, worker).rate_max_per_s
    kept = saturated_load(left, worker, mc_benchmark())
    assert 0.97 < kept.load < 1.02 and kept.of_all <= 1 + 1e-9


def _holding(trace: Trace, fit: int) -> Worker:
    peak = trace.prompt_tokens + trace.output_tokens - 1
    base = read_fleet("llama-3.1-8b-h100").worker
    return Worker(base.step_time, kv_tokens=int(fit * peak.mean()))
