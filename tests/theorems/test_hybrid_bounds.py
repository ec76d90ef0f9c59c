"""Tries to break the bounds for layers of several kinds: states, windows, shared and sparse layers."""

import numpy as np
import pytest
from exhaustive_engine import least_total_latency
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedule import busy_time_s

from shadowprice.fleet import StepTime, Worker
from shadowprice.fleet.token_curve import TokenCurve
from shadowprice.fleet.work import work
from shadowprice.scheduling import POLICIES
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.simulate import simulate
from shadowprice.workload import Trace

STATIC = [
    name for name, make in POLICIES.items() if getattr(make(), "levels", None) is None
]  # orders whose keys do not move


def curve(rng: np.random.Generator) -> TokenCurve | None:
    """None, or a state, a slope and a window, each there or not, over several magnitudes."""
    if rng.random() < 0.2:
        return None
    state, slope, windowed = 10.0 ** rng.uniform(-1, 1, 3) * (rng.random(3) < 0.7)
    window = int(rng.integers(1, 8)) if windowed else 0
    return TokenCurve(state, slope, windowed, window)


def worker_of(rng: np.random.Generator, prompt: np.ndarray, output: np.ndarray, longest: int) -> Worker:
    """A worker of whose memory the largest request needs nearly all, or a few blocks less."""
    a, b, e = 10.0 ** rng.uniform(-3, 0, 3) * (rng.random(3) < 0.8)
    block = int(rng.integers(1, 4))
    limits = {
        "max_num_seqs": int(rng.integers(1, len(prompt) + 1)),
        "max_num_batched_tokens": int(rng.integers(1, 2 * longest)),
        "block_size": block,
        "async_scheduling": bool(rng.random() < 0.5),
        "kept": curve(rng),
        "read": curve(rng),
    }
    draft = Worker(StepTime(10.0 ** rng.uniform(-2, 0.5), a, b, e), **limits)
    blocks = max(1, int(draft.blocks_of(prompt + output).max()) + int(rng.integers(0, 4)))
    return Worker(draft.step_time, kv_tokens=blocks * block, **limits)


@pytest.mark.parametrize(("n", "longest", "instances"), [(1, 6, 100), (2, 4, 80), (3, 2, 100)])
def test_bound_is_below_exhaustive_optimum_below_every_policy(n: int, longest: int, instances: int) -> None:
    tight = 0.0
    for seed in range(instances):
        rng = np.random.default_rng(seed)
        prompt, output = rng.integers(1, longest + 1, (2, n))
        arrival = np.sort(rng.choice([0.0, 0.0, 0.37, 1.1], n)) * rng.choice([0, 1, 3])
        trace, worker = Trace(arrival, prompt, output), worker_of(rng, prompt, output, longest)
        optimum = least_total_latency(trace, worker) / n
        bound = latency_bound(arrival, prompt, output, worker).mean_s
        assert bound <= optimum * (1 + 1e-9), seed
        tight = max(tight, bound / optimum)
        if worker.max_num_batched_tokens >= worker.max_num_seqs:
            for name in STATIC:
                assert optimum <= simulate(trace, worker, POLICIES[name]()).e2e_s.mean() * (1 + 1e-9), (seed, name)
    assert tight > 0.9


@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=200, deadline=None)
def test_no_schedule_takes_less_time_than_the_charges_with_cached_prefixes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    prompt, output = rng.integers(1, 12, n), rng.integers(1, 6, n)
    cached = rng.integers(0, prompt) * (rng.random(n) < 0.7)
    worker = worker_of(rng, prompt, output, 15)
    needs = work(prompt, output, worker, cached)
    busy_s = busy_time_s(prompt, output, cached, worker, rng)
    for prices in (*np.eye(3), rng.dirichlet(np.ones(3))):
        assert needs.charge_s(prices).sum() <= busy_s * (1 + 1e-9)


@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=200, deadline=None)
def test_the_closed_forms_are_the_sums_and_no_weaker_than_a_block_a_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prompt, output = rng.integers(1, 60, (2, 5))
    worker = worker_of(rng, prompt, output, 40)
    needs, time = work(prompt, output, worker), worker.step_time
    for i, (s, o) in enumerate(zip(prompt, output, strict=True)):
        later = np.arange(s + 1, s + o)
        decoded_s = time.per_sequence_s + time.per_kv_token_s * worker.read_of(later)
        own_s = time.per_prefill_token_s * s + np.minimum(decoded_s, time.per_prefill_token_s * later).sum()
        assert needs.own_s[i] == pytest.approx(own_s, rel=1e-9, abs=1e-12)
        ends = s - np.arange(-(-s // worker.max_num_batched_tokens)) * worker.max_num_batched_tokens
        held = worker.blocks_of(np.concatenate([ends, later])).sum() / worker.kv_blocks
        steps = len(ends) + len(later)
        assert held - steps / worker.kv_blocks <= needs.use[1, i] <= held * (1 + 1e-9) + 1e-12


@given(seed=st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_bound_is_below_every_policy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 50))
    trace = Trace(np.sort(rng.uniform(0, rng.choice([0.01, 5, 50]), n)), *rng.integers(1, 90, (2, n)))
    worker = worker_of(rng, trace.prompt_tokens, trace.output_tokens, 90)
    bound = latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, worker).mean_s
    for name in STATIC:
        if worker.max_num_batched_tokens >= worker.max_num_seqs:
            assert bound <= simulate(trace, worker, POLICIES[name]()).e2e_s.mean() * (1 + 1e-9), name
