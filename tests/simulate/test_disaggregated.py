"""The pool simulator by hand, against queueing theory, and what must be conserved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.disaggregation import Link
from shadowprice.errors import FleetError, InfeasibleError, PolicyError
from shadowprice.fleet import StepTime, Worker, read_fleet
from shadowprice.fleet.work import work
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.disaggregated import PoolRun, PoolsRun, simulate_apart, simulate_together
from shadowprice.simulate.engine import simulate
from shadowprice.workload import PRESETS, Trace, scale_rate

PLAIN = Worker(StepTime(1.0, 0.0, 0.0, 0.1), kv_tokens=4096, async_scheduling=False)


def chat(requests: int, rate_per_s: float) -> Trace:
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=requests)
    return scale_rate(trace, rate_per_s / trace.rate_per_s)


def prefill_of(run: PoolsRun) -> PoolRun:
    assert run.prefill is not None
    return run.prefill


def test_one_request_by_hand() -> None:
    """Prompt 1 + 0.1 * 10 = 2 s; 10 tokens of 2 bytes at 20 bytes/s: 1 s; then three steps of 1 s."""
    trace = Trace(np.array([5.0]), np.array([10]), np.array([4]))
    run = simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), Link(2.0, 20.0))
    assert (run.ttft_s[0], run.ready_s[0], run.e2e_s[0]) == (2.0, 8.0, 6.0)
    assert run.tpot_s[0] == pytest.approx(4 / 3) and run.peak_between_tokens == 10
    # the decode worker sends the first token: it computes the last prompt token again, 1.1 s
    run = simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), Link(2.0, 20.0), first_token="decode")
    assert run.ttft_s[0] == pytest.approx(4.1) and run.e2e_s[0] == pytest.approx(7.1)
    # in two layers of 0.5 s each: the second goes after the prompt, the first while it is computed
    run = simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), Link(2.0, 20.0, layers=2))
    assert run.ready_s[0] == pytest.approx(7.5)
    # slower than the prompt is computed: the link, busy from the end of the first layer on, decides
    run = simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), Link(2.0, 5.0, latency_s=0.25, layers=2))
    assert run.ready_s[0] == pytest.approx(6.0 + 4.0 + 0.25)


def test_transfers_out_of_one_worker_wait_for_each_other() -> None:
    trace = Trace(np.zeros(2), np.array([10, 10]), np.array([2, 2]))
    one = simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), Link(1.0, 10.0))
    np.testing.assert_allclose(one.ready_s, [4.0, 5.0])  # both prompts in one step of 3 s
    two = simulate_apart(trace, (PLAIN, 2), (PLAIN, 1), fcfs(), Link(1.0, 10.0))
    np.testing.assert_allclose(two.ready_s, [3.0, 3.0])


def test_one_worker_together_is_the_engine() -> None:
    trace, worker = chat(500, 15.0), read_fleet("llama-3.1-8b-h100").worker
    pools, engine = simulate_together(trace, worker, 1, fcfs()), simulate(trace, worker, fcfs())
    np.testing.assert_array_equal(pools.first_token_s, engine.first_token_s)
    np.testing.assert_array_equal(pools.finish_s, engine.finish_s)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_ttft_of_equal_prompts_one_at_a_time_is_that_of_distserve(load: float) -> None:
    """Its M/D/1 formula: D + r D^2 / (2 (1 - r D)), D the time of a prompt that fills a step."""
    prompt, requests = 512, 60_000
    worker = Worker(StepTime(0.01, 0.0, 0.0, 1e-4), max_num_batched_tokens=prompt, async_scheduling=False)
    service_s = 0.01 + 1e-4 * prompt
    rate = load / service_s
    gaps_s = np.random.default_rng(1).exponential(1 / rate, requests)
    trace = Trace(np.cumsum(gaps_s), np.full(requests, prompt), np.full(requests, 2))
    run = simulate_apart(trace, (worker, 1), (worker, 1), fcfs())
    expected_s = service_s + rate * service_s**2 / (2 * (1 - load))
    assert run.ttft_s.mean() == pytest.approx(expected_s, rel=0.03)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_and_nothing_comes_too_early(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    trace = Trace(np.sort(rng.uniform(0, 20, n)), rng.integers(1, 60, n), rng.integers(1, 12, n))
    worker = replace(PLAIN, kv_tokens=160, max_num_batched_tokens=int(rng.integers(8, 100)), async_scheduling=True)
    link = Link(1.0, float(10.0 ** rng.uniform(0, 3)), layers=int(rng.integers(1, 9)))
    run = simulate_apart(trace, (worker, 2), (worker, 2), fcfs(), link)
    first, ones = prefill_of(run), np.ones_like(trace.output_tokens)
    alone_s = work(trace.prompt_tokens, ones, worker).alone_s
    eps = 1e-9
    assert (run.ttft_s >= alone_s - eps).all() and (run.finish_s >= run.first_token_s - eps).all()
    assert sorted(run.decoded) == np.flatnonzero(trace.output_tokens > 1).tolist()
    sent_s = link.transfer_s(trace.prompt_tokens)
    ended_s = first.finish_s[run.decoded]
    assert (run.ready_s >= ended_s + sent_s[run.decoded] / link.layers - eps).all()
    assert (run.decode.finish_s > run.ready_s).all()
    for g in range(2):  # a link sends one thing at a time
        mine = first.worker[run.decoded] == g
        if mine.any():
            start_s = (first.finish_s - alone_s)[run.decoded][mine].min()
            assert run.ready_s[mine].max() - start_s >= sent_s[run.decoded][mine].sum() - eps
    assert 0 <= run.peak_between_tokens <= trace.prompt_tokens.sum()
    whole = simulate_apart(trace, (worker, 2), (worker, 2), fcfs(), replace(link, layers=1))
    by_request = np.full(n, np.nan), np.full(n, np.nan)
    by_request[0][run.decoded], by_request[1][whole.decoded] = run.ready_s, whole.ready_s
    assert np.nanmax(by_request[0] - by_request[1], initial=-1) <= eps  # overlap is never later


def test_a_free_link_is_a_very_fast_one() -> None:
    trace, worker = chat(400, 30.0), read_fleet("llama-3.1-8b-h100").worker
    free = simulate_apart(trace, (worker, 2), (worker, 1), fcfs())
    fast = simulate_apart(trace, (worker, 2), (worker, 1), fcfs(), Link(1.0, 1e18))
    np.testing.assert_allclose(free.finish_s, fast.finish_s)
    assert free.peak_between_tokens <= fast.peak_between_tokens


def test_requests_of_one_token_end_at_the_prefill_worker() -> None:
    run = simulate_apart(Trace(np.zeros(3), np.full(3, 8), np.ones(3)), (PLAIN, 1), (PLAIN, 1), fcfs())
    assert len(run.decoded) == 0 and np.isnan(run.tpot_s).all() and (run.finish_s == run.first_token_s).all()


def test_bad_input_is_named() -> None:
    trace = Trace(np.zeros(1), np.array([10]), np.array([4]))
    with pytest.raises(PolicyError, match="a pool of 0 workers; expected a whole number >= 1"):
        simulate_apart(trace, (PLAIN, 0), (PLAIN, 1), fcfs())
    with pytest.raises(PolicyError, match=r"a pool of 1\.5 workers"):
        simulate_together(trace, PLAIN, 1.5, fcfs())  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="first_token is 'both'; expected 'prefill' or 'decode'"):
        simulate_apart(trace, (PLAIN, 1), (PLAIN, 1), fcfs(), first_token="both")  # type: ignore[arg-type]
    with pytest.raises(InfeasibleError, match="needs 13 KV tokens"):
        simulate_apart(trace, (PLAIN, 1), (replace(PLAIN, kv_tokens=12, block_size=4), 1), fcfs())
    for bad, message in (
        ({"bandwidth_bytes_per_s": 0.0}, "bandwidth_bytes_per_s is 0.0; expected a number > 0"),
        ({"kv_bytes_per_token": -1.0}, "kv_bytes_per_token is -1.0; expected a finite number >= 0"),
        ({"latency_s": float("nan")}, "latency_s is nan"),
        ({"layers": 0}, "layers is 0; expected a whole number >= 1"),
    ):
        with pytest.raises(FleetError, match=message):
            Link(**({"kv_bytes_per_token": 1.0, "bandwidth_bytes_per_s": 1.0} | bad))  # type: ignore[arg-type]
