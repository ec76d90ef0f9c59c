"""Tries to break the bounds on goodput and the rates of pools: random schedules, prices, splits and chunk sizes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.disaggregation import (
    Link,
    PoolsProblem,
    Slo,
    best_split,
    goodput_bound,
    pool_rates,
    split_bound_per_s,
)
from shadowprice.disaggregation.optimum import decode_roots, phases, slo_extra_s, split_rate_per_s
from shadowprice.fleet import StepTime, Worker, read_fleet
from shadowprice.fleet.work import work
from shadowprice.scheduling.policies import POLICIES, fcfs
from shadowprice.simulate import simulate
from shadowprice.simulate.disaggregated import PoolsRun, simulate_apart, simulate_together
from shadowprice.workload import PRESETS, Trace, scale_rate


def some_instance(rng: np.random.Generator) -> tuple[Trace, Worker]:
    n = int(rng.integers(1, 30))
    block = int(rng.integers(1, 5))
    prompt, output = rng.integers(1, 40, n), rng.integers(1, 12, n)
    worker = Worker(
        StepTime(10.0 ** rng.uniform(-2, 0.5), *(10.0 ** rng.uniform(-3, 0, 3) * (rng.random(3) < 0.8))),
        max_num_seqs=int(rng.integers(1, 10)),
        max_num_batched_tokens=int(rng.integers(10, 80)),
        kv_tokens=int(block * (max(prompt + output) // block + 1 + rng.integers(0, 60))),
        block_size=block,
        async_scheduling=bool(rng.random() < 0.5),
    )
    return Trace(np.sort(rng.uniform(0, 10.0 ** rng.uniform(-1, 2.5), n)), prompt, output), worker


def some_run(trace: Trace, worker: Worker, rng: np.random.Generator) -> tuple[PoolsRun, float]:
    """Any design of workers with chunks up to the worker's, any policy; and the seconds in steps of all workers."""
    policy = POLICIES[str(rng.choice(sorted(POLICIES)))]()
    chunked = replace(worker, max_num_batched_tokens=int(rng.integers(1, worker.max_num_batched_tokens + 1)))
    if rng.random() < 0.4:
        run = simulate_together(trace, chunked, int(rng.integers(1, 4)), policy)
        return run, float(run.decode.busy_s.sum())
    x, y = (int(n) for n in rng.integers(1, 4, 2))
    link = Link(1.0, float(10.0 ** rng.uniform(0, 3)), layers=int(rng.integers(1, 5))) if rng.random() < 0.5 else None
    first = "prefill" if rng.random() < 0.5 else "decode"
    run = simulate_apart(trace, (chunked, x), (worker, y), policy, link, first_token=first)  # type: ignore[arg-type]
    assert run.prefill is not None
    return run, float(run.prefill.busy_s.sum() + run.decode.busy_s.sum())


@given(seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_no_run_takes_less_time_than_its_charges_with_those_of_who_met_the_slo(seed: int) -> None:
    """The inequality behind the bound, exactly: for whoever met the limit, at any prices, no statistics."""
    rng = np.random.default_rng(seed)
    trace, worker = some_instance(rng)
    run, busy_s = some_run(trace, worker, rng)
    known = run.tpot_s[~np.isnan(run.tpot_s)]
    tau = float(np.quantile(known, rng.random())) * (1 + 1e-9) if len(known) else 1.0
    met = Slo(tpot_s=tau).met_by(run.ttft_s, run.tpot_s) & (rng.random(len(trace)) < rng.choice([1.0, 0.7]))
    needs = work(trace.prompt_tokens, trace.output_tokens, worker)
    roots = decode_roots(trace.prompt_tokens, trace.output_tokens, worker)
    for _ in range(20):
        y = float(rng.random()) if rng.random() < 0.7 else 1.0
        m = float(10.0 ** rng.uniform(-4, 3))
        extra_s = slo_extra_s(needs, roots, trace.output_tokens - 1, tau, y, m)
        charges_s = needs.charge_s((1 - y) * rng.dirichlet(np.ones(3))).sum() + extra_s[met].sum()
        assert charges_s <= busy_s * (1 + 1e-9)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_roots_are_never_more_than_their_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trace, worker = some_instance(rng)
    time = worker.step_time
    roots = decode_roots(trace.prompt_tokens, trace.output_tokens, worker)
    for s, o, root in zip(trace.prompt_tokens, trace.output_tokens, roots, strict=True):
        context = s + np.arange(1, o)
        decode = time.per_sequence_s + time.per_kv_token_s * context
        exact = np.sqrt(np.minimum(decode, time.per_prefill_token_s * context)).sum()
        assert root <= exact * (1 + 1e-9) + 1e-12


@given(seed=st.integers(0, 10**9))
@settings(max_examples=200, deadline=None)
def test_roots_keep_their_digits_whatever_the_step_time(seed: int) -> None:
    """A cost per KV token a thousand billionth of that per sequence once left no digit, and twelve times the sum."""
    rng = np.random.default_rng(seed)
    a, b, e = 10.0 ** rng.uniform(-16, 9, 3) * (rng.random(3) < 0.9)
    worker = Worker(StepTime(1.0, a, b, e))
    s, o = int(rng.integers(1, 1000)), int(rng.integers(2, 300))
    context = s + np.arange(1, o)
    exact = np.sqrt(np.minimum(a + b * context, e * context)).sum()
    root = decode_roots(np.array([s]), np.array([o]), worker)[0]
    assert root <= exact * (1 + 1e-12)
    steepest = np.sqrt(1 + 1 / s) - 1  # no integrand grows by more from one token to the next
    assert root >= exact * (1 - steepest) * (1 - 1e-9)


def test_roots_where_one_more_token_costs_next_to_nothing_more() -> None:
    worker = Worker(StepTime(1.0, 1.1e7, 2e-6, 2.9e-9))
    exact = np.sqrt(2.9e-9 * (882 + np.arange(1, 100))).sum()
    assert exact * 0.999 < decode_roots(np.array([882]), np.array([100]), worker)[0] <= exact


def test_a_law_of_one_request_has_the_bound_of_the_same_law_written_out() -> None:
    """Of many copies of one request a share may be inside; 30 % of one request is not the whole of it."""
    worker = Worker(StepTime(0.01, 0.001, 0.0, 0.01))
    rates = []
    for n in (1, 7, 100):
        slo = Slo(tpot_s=0.02, attainment=0.3)
        problem = PoolsProblem(np.full(n, 1), np.full(n, 101), worker, worker, worker, 2, slo=slo)
        rates.append(goodput_bound(problem).rate_per_s)
    assert rates == pytest.approx([rates[0]] * 3, rel=1e-9)
    # at 11.9/s one worker serves a third in small batches, and the other the rest, late but steadily
    trace = Trace(np.arange(6000) / 11.905, np.full(6000, 1), np.full(6000, 101))
    a_third = np.arange(6000) % 3 == 0
    runs = [simulate(trace.take(np.flatnonzero(part)), worker, fcfs()) for part in (a_third, ~a_third)]
    inside = sum(int(slo.met_by(run.ttft_s, run.tpot_s).sum()) for run in runs)
    assert inside > 0.3 * 6000 and max(run.e2e_s.max() for run in runs) < 20
    assert rates[0] > 11.905


def test_the_tpot_price_is_attained_by_equal_requests_that_decode_in_steps_of_the_limit() -> None:
    """No prompt cost, no KV cost: batches of 10 whose steps last just the limit serve as many as the bound says."""
    worker = Worker(StepTime(0.01, 0.001, 0.0, 1.0), max_num_seqs=1000, max_num_batched_tokens=4000, kv_tokens=10**6)
    free = replace(worker, step_time=StepTime(0.01, 0.001, 0.0, 0.0))
    prompt, output = np.full(50, 10), np.full(50, 101)
    problem = PoolsProblem(prompt, output, worker, worker, worker, 1, slo=Slo(tpot_s=0.02, attainment=1.0))
    # 10 sequences take 0.01 + 10 * 0.001 = 0.02 s a step; each needs 100 of them
    own = phases(prompt, output, worker, worker)[0].own_s.mean()  # the prompt: 10 tokens of a second each
    assert goodput_bound(problem).rate_per_s == pytest.approx(1 / (own + 0.2), rel=1e-6)
    assert goodput_bound(replace(problem, together=free)).rate_per_s > 5  # recomputing would be free: a weaker bound


@given(seed=st.integers(0, 10**9), workers=st.integers(2, 40))
@settings(max_examples=200, deadline=None)
def test_on_equal_hardware_no_split_is_stable_at_a_higher_rate_than_sharing(seed: int, workers: int) -> None:
    rng = np.random.default_rng(seed)
    trace, worker = some_instance(rng)
    link = Link(1.0, float(10.0 ** rng.uniform(0, 4))) if rng.random() < 0.5 else None
    rates = pool_rates(PoolsProblem(trace.prompt_tokens, trace.output_tokens, worker, worker, worker, workers, link))
    every = [split_rate_per_s(rates, x, workers - x) for x in range(1, workers)]
    assert max(every) <= workers * rates.together_per_s * (1 + 1e-9)
    split = best_split(rates, workers)
    assert split.rate_per_s == pytest.approx(max(every), rel=1e-12)
    assert abs(split.prefill_workers - split.continuous) < 1 or split.continuous in (0.0, float(workers))
    assert max(every) <= split.continuous * min(rates.prefill_per_s, rates.link_per_s) * (1 + 1e-9)


def test_a_split_that_loses_nothing_is_one_where_a_single_resource_binds_both_phases() -> None:
    """Slots of one: a prompt step and an output step take the same, so two equal pools are as good as sharing."""
    worker = Worker(StepTime(1.0, 0.0, 0.0, 0.0), max_num_seqs=1, max_num_batched_tokens=100, kv_tokens=1000)
    rates = pool_rates(PoolsProblem(np.array([10]), np.array([2]), worker, worker, worker, 4))
    assert best_split(rates, 4).rate_per_s == pytest.approx(4 * rates.together_per_s)
    # several slots: sharing pays a step's fixed time once where the pools pay it twice
    shared = replace(worker, max_num_seqs=10, kv_tokens=100_000)
    rates = pool_rates(PoolsProblem(np.array([100]), np.array([11]), shared, shared, shared, 4))
    assert 4 * rates.together_per_s == pytest.approx(4 / 1.1) and best_split(rates, 4).rate_per_s == pytest.approx(2)


@pytest.mark.parametrize(("ttft_s", "tpot_s"), [(0.2, 0.012), (0.5, 0.02), (2.0, 0.05)])
def test_no_simulated_design_attains_the_slo_above_its_bound(ttft_s: float, tpot_s: float) -> None:
    trace = PRESETS["azure-conv-like"](np.random.default_rng(3), requests=6000)
    worker, slo = read_fleet("llama-3.1-8b-h100").worker, Slo(ttft_s, tpot_s)
    problem = PoolsProblem(trace.prompt_tokens, trace.output_tokens, worker, worker, worker, 4, None, slo)
    bound = goodput_bound(problem).rate_per_s
    fast = scale_rate(trace, 1.1 * bound / trace.rate_per_s)
    for chunk in (512, 2048, 8192):
        run = simulate_together(fast, replace(worker, max_num_batched_tokens=chunk), 4, fcfs())
        assert slo.met_by(run.ttft_s, run.tpot_s).mean() < slo.attainment
    for x in (1, 2, 3):
        own = split_bound_per_s(problem, x)
        assert own <= bound * (1 + 1e-9)
        above = scale_rate(trace, 1.1 * own / trace.rate_per_s)
        run = simulate_apart(above, (worker, x), (worker, 4 - x), fcfs())
        assert slo.met_by(run.ttft_s, run.tpot_s).mean() < slo.attainment


def test_a_tighter_slo_never_raises_the_bound_and_an_impossible_one_is_zero() -> None:
    trace = PRESETS["azure-conv-like"](np.random.default_rng(3), requests=500)
    worker = read_fleet("llama-3.1-8b-h100").worker

    def bound(slo: Slo) -> float:
        lengths = (trace.prompt_tokens, trace.output_tokens)
        return goodput_bound(PoolsProblem(*lengths, worker, worker, worker, 2, None, slo)).rate_per_s

    rates = [bound(Slo(1.0, tau)) for tau in (0.1, 0.05, 0.02, 0.01, 0.008, 0.007)]
    assert all(tight <= loose * (1 + 1e-9) for loose, tight in pairwise(rates))
    assert rates[-1] < 0.6 * rates[0]
    assert bound(Slo(1.0, 0.006)) == 0.0 and bound(Slo(0.01, 1.0)) == 0.0
    assert bound(Slo()) == pytest.approx(
        2 * pool_rates(PoolsProblem(trace.prompt_tokens, trace.output_tokens, worker, worker, worker, 2)).together_per_s
    )
