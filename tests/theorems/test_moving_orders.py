"""Tries to break what is stated of the orders whose keys move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES
from shadowprice.simulate import simulate
from shadowprice.workload import Trace


@st.composite
def two(draw: st.DrawFn) -> tuple[Trace, Worker]:
    """One request, and another that comes while it runs; a worker for one at a time, of all kinds of step times."""
    prompts = draw(st.lists(st.integers(1, 3000), min_size=2, max_size=2))
    outputs = draw(st.lists(st.integers(1, 400), min_size=2, max_size=2))
    decode_s, kv_s = draw(st.sampled_from([(0.0, 0.0), (1e-5, 4e-8), (1e-3, 1e-6)]))
    prefill_s = draw(st.sampled_from([1e-4, 2e-5, 2e-3]))
    fixed_s = draw(st.sampled_from([1e-4, 6e-3]))
    worker = Worker(
        StepTime(fixed_s, decode_s, kv_s, prefill_s + decode_s + kv_s),  # decoding costs less than computing all again
        max_num_seqs=1,
        max_num_batched_tokens=8192,
        async_scheduling=draw(st.booleans()),
    )
    alone_s = fixed_s * outputs[0] + prefill_s * prompts[0]
    arrival_s = np.array([0.0, draw(st.floats(0.0, 1.2)) * alone_s])
    return Trace(arrival_s, np.array(prompts), np.array(outputs)), worker


@settings(max_examples=400, deadline=None)
@given(two(), st.sampled_from([1, 4, 16]))
def test_remaining_work_gives_way_only_where_it_pays(case: tuple[Trace, Worker], step: int) -> None:
    trace, worker = case
    policy = POLICIES["shortest_remaining_work"](step=step)
    gave_way = simulate(trace, worker, policy)
    stayed = simulate(trace, worker, replace(policy, gives_way=False))
    if gave_way.preemptions.sum():
        assert gave_way.finish_s.sum() < stayed.finish_s.sum()


def test_remaining_work_does_give_way() -> None:
    worker = Worker(StepTime(6e-3, 1e-5, 4e-8, 2e-5), max_num_seqs=1)
    trace = Trace(np.array([0.0, 0.1]), np.array([100, 100]), np.array([400, 5]))
    run = simulate(trace, worker, POLICIES["shortest_remaining_work"]())
    assert run.preemptions.tolist() == [1, 0]
    assert run.finish_s[1] < 0.2


@st.composite
def crowds(draw: st.DrawFn) -> Trace:
    n = draw(st.integers(2, 12))
    outputs = draw(st.lists(st.integers(1, 90), min_size=n, max_size=n))
    prompts = draw(st.lists(st.integers(1, 50), min_size=n, max_size=n))
    return Trace(np.zeros(n), np.array(prompts), np.array(outputs))


@settings(max_examples=100, deadline=None)
@given(crowds(), st.sampled_from([1, 4, 16]))
def test_least_attained_finishes_a_crowd_in_the_order_of_their_quanta(trace: Trace, quantum: int) -> None:
    worker = Worker(StepTime(1.0, 0.0, 0.0, 0.0), max_num_seqs=1, async_scheduling=False)
    run = simulate(trace, worker, POLICIES["least_attained"](quantum=quantum))
    quanta = (trace.output_tokens - 1) // quantum
    order = np.argsort(run.finish_s, kind="stable")
    assert np.all(np.diff(quanta[order]) >= 0)


@settings(max_examples=100, deadline=None)
@given(crowds(), st.sampled_from([1, 4, 16]), st.sampled_from([1, 3]), st.booleans())
def test_multi_level_feedback_gives_way_once_a_level(trace: Trace, quantum: int, slots: int, lag: bool) -> None:
    worker = Worker(StepTime(1.0, 0.0, 0.0, 0.0), max_num_seqs=slots, async_scheduling=lag)
    run = simulate(trace, worker, POLICIES["multi_level_feedback"](quantum=quantum))
    assert np.all(run.preemptions <= np.log2(trace.output_tokens / quantum + 1))


@pytest.mark.parametrize("name", ["least_attained", "multi_level_feedback", "shortest_remaining_work"])
def test_who_has_waited_past_the_bound_gives_way_to_nobody(name: str) -> None:
    """A long request among a stream of short ones: without a bound it gives way to all of them."""
    n = 300
    trace = Trace(np.arange(n) * 0.05, np.full(n, 20), np.r_[120, np.full(n - 1, 9)])
    worker = Worker(StepTime(6e-3, 1e-5, 4e-8, 2e-5), max_num_seqs=1)
    kind = {"step": 8} if name == "shortest_remaining_work" else {"quantum": 8}
    starved = simulate(trace, worker, POLICIES[name](**kind))
    bounded = simulate(trace, worker, POLICIES[name](**kind, max_wait_s=1.0))
    assert starved.finish_s[0] > 15
    assert bounded.finish_s[0] < 1.0 + 0.1 + 120 * 0.0065  # the bound, who runs then, and its own steps
