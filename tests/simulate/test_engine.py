"""The engine simulator: the same results however it is driven, and clear errors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import InfeasibleError, PolicyError
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Levels, Ranked
from shadowprice.simulate import simulate
from shadowprice.workload import Trace

STEP = StepTime(6e-3, 1e-5, 4e-8, 2e-5)


def workload(seed: int, n: int = 60) -> tuple[Trace, Worker]:
    """A random small workload, tight in slots, blocks or token budget now and then."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(rng.choice([0.0, 0.005, 0.05]), n) * (rng.random(n) < 0.8)
    trace = Trace(
        np.cumsum(gaps),
        rng.integers(1, 200, n),
        rng.integers(1, 80, n),
        predicted_output=rng.integers(1, 80, n) if rng.random() < 0.5 else None,
        priority=rng.integers(0, 4, n),
    )
    worker = Worker(
        STEP,
        max_num_seqs=int(rng.choice([2, 5, 20])),
        max_num_batched_tokens=int(rng.choice([32, 100, 4000])),
        kv_tokens=int(rng.choice([304, 600, 3000])),
        block_size=int(rng.choice([1, 7, 16])),
        async_scheduling=bool(rng.random() < 0.5),
    )
    return trace, worker


def policy_for(name: str, seed: int):
    aged = "max_wait_s" in POLICIES[name].__code__.co_varnames and seed % 2
    return POLICIES[name](max_wait_s=0.3) if aged else POLICIES[name]()


def same(a, b) -> None:
    for field in ("scheduled_s", "first_token_s", "finish_s", "preemptions"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
    assert a.steps == b.steps
    assert a.busy_s == b.busy_s


@pytest.mark.parametrize("name", POLICIES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_jumping_over_quiet_steps_changes_no_bit(name: str, seed: int) -> None:
    trace, worker = workload(seed)
    same(
        simulate(trace, worker, policy_for(name, seed)),
        simulate(trace, worker, policy_for(name, seed), every_step=True),
    )


@pytest.mark.parametrize("name", POLICIES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_policy_asked_in_python_decides_as_compiled(name: str, seed: int) -> None:
    trace, worker = workload(seed, 40)
    same(
        simulate(trace, worker, policy_for(name, seed)),
        simulate(trace, worker, policy_for(name, seed), interpreted=True),
    )


@pytest.mark.parametrize("name", POLICIES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_every_request_is_served_in_order_of_its_own_life(name: str, seed: int) -> None:
    trace, worker = workload(seed)
    run = simulate(trace, worker, policy_for(name, seed))
    assert np.all(run.scheduled_s >= trace.arrival_s)
    assert np.all(run.first_token_s > run.scheduled_s)
    assert np.all(run.finish_s >= run.first_token_s)
    assert run.peak_kv_tokens <= worker.kv_blocks * worker.block_size
    assert np.isnan(run.tpot_s).tolist() == (trace.output_tokens == 1).tolist()


def test_alone_request_takes_prefill_and_decode_steps() -> None:
    run = simulate(Trace(np.array([2.0]), np.array([100]), np.array([4])), Worker(STEP), POLICIES["fcfs"]())
    decode = sum(STEP.seconds(1, 100 + j, 0) for j in (1, 2, 3))
    assert run.ttft_s[0] == pytest.approx(STEP.seconds(0, 0, 100))
    assert run.e2e_s[0] == pytest.approx(STEP.seconds(0, 0, 100) + decode)
    assert run.steps == 4


def test_asynchronous_scheduling_delays_an_arrival_by_a_step() -> None:
    trace = Trace(np.array([0.0, 0.02]), np.array([1000, 10]), np.array([50, 1]))
    late = simulate(trace, Worker(STEP), POLICIES["fcfs"]())
    soon = simulate(trace, Worker(STEP, async_scheduling=False), POLICIES["fcfs"]())
    assert late.first_token_s[1] > soon.first_token_s[1]
    assert late.first_token_s[0] == soon.first_token_s[0]


def test_bound_on_waiting_limits_who_is_passed_over() -> None:
    rng = np.random.default_rng(1)
    n = 300
    trace = Trace(np.sort(rng.uniform(0, 5, n)), np.full(n, 50), np.r_[400, rng.integers(1, 30, n - 1)])
    worker = Worker(STEP, max_num_seqs=4)
    bound = 1.0
    run = simulate(trace, worker, POLICIES["shortest_output"](max_wait_s=bound))
    for i in range(n):
        passed = (trace.arrival_s > trace.arrival_s[i]) & (run.scheduled_s < run.scheduled_s[i])
        assert np.all(run.scheduled_s[passed] - trace.arrival_s[i] <= bound)
    assert simulate(trace, worker, POLICIES["shortest_output"]()).scheduled_s.max() > run.scheduled_s[0]


class Backwards:
    """A plain policy of a user: the newest first."""

    def order(self, waiting, running, state):
        return np.arange(len(waiting))[::-1]


def test_a_plain_python_policy_runs_unchanged() -> None:
    trace = Trace(np.zeros(3), np.array([10, 10, 10]), np.array([5, 5, 5]))
    run = simulate(trace, Worker(STEP, max_num_seqs=1), Backwards())
    assert np.argsort(run.finish_s).tolist() == [2, 1, 0]


@pytest.mark.parametrize("answer", [[0, 0], [7], [-1], [0.5], [[0]], ["a"]])
def test_impossible_answers_of_a_policy_are_refused(answer: list) -> None:
    class Wrong:
        def order(self, waiting, running, state):
            return answer

    with pytest.raises(PolicyError, match="distinct indices"):
        simulate(Trace(np.zeros(2), np.array([1, 1]), np.array([1, 1])), Worker(STEP), Wrong())


def test_a_policy_that_never_admits_is_refused() -> None:
    class Never:
        def order(self, waiting, running, state):
            return []

    with pytest.raises(PolicyError, match="wait for ever"):
        simulate(Trace(np.zeros(2), np.array([1, 1]), np.array([1, 1])), Worker(STEP), Never())


def test_a_request_larger_than_the_memory_is_refused() -> None:
    trace = Trace(np.zeros(1), np.array([100]), np.array([30]))
    with pytest.raises(InfeasibleError, match="129 KV tokens"):
        simulate(trace, Worker(STEP, kv_tokens=128), POLICIES["fcfs"]())
    simulate(trace, Worker(STEP, kv_tokens=144), POLICIES["fcfs"]())


def test_an_empty_trace_takes_no_time() -> None:
    nothing = np.zeros(0, np.int64)
    run = simulate(Trace(np.zeros(0), nothing, nothing), Worker(STEP), POLICIES["fcfs"]())
    assert run.steps == 0


def test_the_time_series_is_bounded_and_covers_the_run() -> None:
    trace, worker = workload(3, 2000)
    run = simulate(trace, replace(worker, kv_tokens=600), POLICIES["fcfs"]())
    assert 500 < len(run.series.time_s) <= 2048
    assert np.all(np.diff(run.series.time_s) > 0)
    assert run.series.time_s[-1] > 0.9 * run.finish_s.max()


def test_a_key_that_moves_without_saying_so_is_refused() -> None:
    hidden = Ranked("hidden", lambda requests, worker: requests.generated_tokens + requests.arrival_s)
    with pytest.raises(PolicyError, match=r"policy hidden: its key moves .* levels=Levels\(step\)"):
        simulate(workload(1)[0], Worker(STEP), hidden)
    simulate(workload(1)[0], Worker(STEP), replace(hidden, levels=Levels(8)))


def test_a_key_that_is_worse_while_it_runs_may_not_give_way() -> None:
    fickle = Ranked("fickle", lambda requests, worker: 1.0 * (requests.computed_tokens > 0), levels=Levels(8))
    simulate(workload(1)[0], Worker(STEP), fickle)
    with pytest.raises(PolicyError, match="fickle: a request's key is worse while it runs"):
        simulate(workload(1)[0], Worker(STEP), replace(fickle, gives_way=True))


def test_more_levels_than_a_table_holds_are_refused() -> None:
    trace = Trace(np.zeros(100), np.ones(100, np.int64), np.full(100, 600_000))
    with pytest.raises(PolicyError, match=r"Levels\(step=1, .*60,000,100 keys .* take a larger step"):
        simulate(trace, Worker(STEP, kv_tokens=10**6), POLICIES["least_attained"](quantum=1))
