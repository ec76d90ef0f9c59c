"""Room to grow: what the gate promises, and what it is worth on a real trace, without knowing any length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.audit import make_case
from shadowprice.audit.case import Case
from shadowprice.errors import PolicyError
from shadowprice.fleet import StepTime, Worker, read_fleet
from shadowprice.scheduling import POLICIES
from shadowprice.simulate import simulate
from shadowprice.workload import Trace, read_trace

TRACE = Path(__file__).parents[3] / "shared" / "data" / "azure2023_conv.csv"


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Trace, Worker, int]:
    """Requests with outputs of at most `headroom` tokens, many more than memory holds; how much is computed varies."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    headroom, size, n = int(rng.integers(1, 40)), int(rng.choice([1, 7, 16])), 60
    trace = Trace(np.sort(rng.uniform(0, 1, n)), rng.integers(1, 60, n), rng.integers(1, headroom + 1, n))
    memory = int(rng.integers(120 + headroom + size, 600))
    worker = Worker(StepTime(6e-3, 1e-5, 4e-8, 2e-5), 32, int(rng.choice([16, 4000])), memory, size)
    return trace, replace(worker, async_scheduling=False), headroom


@settings(max_examples=80, deadline=None)
@given(crowded(), st.sampled_from(["fcfs", "shortest_prompt", "priced_work", "priority"]))
def test_outputs_within_the_headroom_are_never_preempted(case: tuple[Trace, Worker, int], name: str) -> None:
    trace, worker, headroom = case
    assert simulate(trace, worker, POLICIES[name]().with_headroom(headroom)).preemptions.sum() == 0


def test_without_headroom_they_are() -> None:
    rng = np.random.default_rng(1)
    trace = Trace(np.zeros(60), rng.integers(1, 60, 60), np.full(60, 30))
    worker = Worker(StepTime(6e-3, 1e-5, 4e-8, 2e-5), 32, 4000, 400, 7, async_scheduling=False)
    assert simulate(trace, worker, POLICIES["fcfs"]()).preemptions.sum() > 0
    with pytest.raises(PolicyError, match="headroom is -1; expected a whole number >= 0"):
        POLICIES["fcfs"]().with_headroom(-1)


@pytest.fixture(scope="module")
def at_the_stable_rate() -> Case:
    if not TRACE.exists():
        pytest.skip("needs ../shared/data/azure2023_conv.csv")
    fleet = read_fleet("llama-3.1-8b-h100")
    limits = {"max_num_seqs": 256, "max_num_batched_tokens": 8192, "kv_tokens": 262_144}
    return make_case(read_trace(TRACE), replace(fleet, worker=replace(fleet.worker, **limits)), 1.0)


@pytest.mark.parametrize(("name", "without_s", "most_s"), [("fcfs", 50.0, 37.5), ("shortest_prompt", 24.5, 19.3)])
def test_on_the_chat_trace_it_takes_a_quarter_of_the_latency(
    at_the_stable_rate: Case, name: str, without_s: float, most_s: float
) -> None:
    """For 256 sequences, 8,192 tokens a step and 262,144 KV tokens, without prefix cache."""
    trace, worker, policy = at_the_stable_rate.trace, at_the_stable_rate.fleet.worker, POLICIES[name]()
    assert simulate(trace, worker, policy).e2e_s.mean() >= without_s
    assert simulate(trace, worker, policy.with_headroom(15)).e2e_s.mean() <= most_s
