"""The compiled engine simulator does what its plain-Python twin does, and jumping over steps changes nothing."""

import math
from typing import Any

import numpy as np
import pytest
from engine_twin import Engine, run_engine
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from shadowprice.fleet import StepTime, Worker
from shadowprice.fleet.token_curve import TokenCurve
from shadowprice.scheduling.ranked import Gate, Levels, Ranked, Victim
from shadowprice.simulate._engine_tables import everyone
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.trace import Trace

STEP_TIMES = [  # all terms; a step as long as any other; prompts that cost nothing, which makes ties
    StepTime(0.007, 0.0003, 0.00001, 0.0002),
    StepTime(1.0, 0.0, 0.0, 0.0),
    StepTime(0.5, 0.25, 0.0, 0.0),
]


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Up to 25 requests: together, in bursts, or apart by more than it takes to serve them."""
    n = draw(st.integers(1, 25))
    longest_prompt = draw(st.sampled_from([3, 12, 200]))
    longest_output = draw(st.sampled_from([2, 12, 80]))
    gap_s = draw(st.sampled_from([0.0, 0.01, 0.5, 1.0, 30.0]))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.0, 0.37, 1.0, 2.0]), min_size=n, max_size=n))
    lengths = draw(
        st.lists(st.tuples(st.integers(1, longest_prompt), st.integers(1, longest_output)), min_size=n, max_size=n)
    )
    forecasts = st.none() | st.lists(st.integers(1, longest_output), min_size=n, max_size=n)
    return Trace(
        arrival_s=np.cumsum(gaps) * gap_s,
        prompt_tokens=np.array([prompt for prompt, _ in lengths]),
        output_tokens=np.array([output for _, output in lengths]),
        predicted_output=np.array(forecast) if (forecast := draw(forecasts)) else None,
        priority=np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))),
    )


# Layers of several kinds: a state, a window beside full layers, half of the layers kept, states alone.
CURVES = [
    TokenCurve(7.3, 0.4, 0.0, 0),
    TokenCurve(0.0, 0.25, 0.75, 9),
    TokenCurve(0.0, 0.5, 0.0, 0),
    TokenCurve(3.0, 0.0, 0.0, 0),
    TokenCurve(12.5, 0.125, 0.5, 40),
]


@st.composite
def workers(draw: st.DrawFn, trace: Trace) -> Worker:
    """From memory for the largest request alone to plenty; few or many sequences; budgets below and above prompts."""
    block_size = draw(st.sampled_from([1, 3, 16]))
    kept, read = (draw(st.none() | st.sampled_from(CURVES)) for _ in range(2))
    unlimited = Worker(STEP_TIMES[0], block_size=block_size, kept=kept, read=read)
    largest = int(unlimited.blocks_of(trace.prompt_tokens + trace.output_tokens - 1).max())
    blocks = draw(st.integers(largest, 3 * largest) | st.just(100 * largest))
    return Worker(
        step_time=draw(st.sampled_from(STEP_TIMES)),
        max_num_seqs=draw(st.sampled_from([1, 2, 5, 64])),
        max_num_batched_tokens=draw(st.sampled_from([1, 2, 7, 64, 4096])),
        kv_tokens=blocks * block_size,
        block_size=block_size,
        async_scheduling=draw(st.booleans()),
        kept=kept,
        read=read,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Trace, Worker]:
    trace = draw(traces())
    return trace, draw(workers(trace))


def by_priority(requests: Any, worker: Worker) -> Any:
    return requests.priority.astype(np.float64)


def rising(requests: Any, worker: Worker) -> Any:
    """Later with what it made, and a little less so while it runs: keys cross, and meet."""
    return np.round(requests.priority + requests.generated_tokens / 4) - (requests.computed_tokens > 0)


def falling(requests: Any, worker: Worker) -> Any:
    """Sooner with what it made: left of the forecast, and by priority."""
    left = np.maximum(requests.predicted_output - requests.generated_tokens, 0)
    return left + requests.priority - (requests.computed_tokens > 0) * requests.prompt_tokens % 3


def by_arrival(requests: Any, worker: Worker) -> Any:
    return requests.arrival_s


def twin_of(trace: Trace, worker: Worker, policy: Ranked) -> Engine:
    assert trace.priority is not None
    priority, seen = trace.priority.tolist(), everyone(trace)

    def key(r: int, made: int, runs: bool) -> float:
        """Straight from the policy, one request at a time."""
        context = np.array([trace.prompt_tokens[r] + made if runs else 0])
        return float(policy.keys(seen.take(np.array([r])).having(np.array([made]), context), worker)[0])

    static = (lambda r, made, runs: priority[r]) if policy.key is by_priority else None
    return run_engine(
        trace.arrival_s.tolist(),
        trace.prompt_tokens.tolist(),
        trace.output_tokens.tolist(),
        worker,
        key=static if policy.levels is None else key,
        preempt_worst_key=policy.victim is Victim.WORST_KEY,
        asynchronous=worker.async_scheduling,
        max_wait_s=policy.max_wait_s,
        gives_way=policy.gives_way,
    )


def assert_same_as_twin(run: EngineRun, twin: Engine) -> None:
    first_steps: dict[int, float] = {}
    for step in twin.steps:
        for r in step.tokens:
            first_steps.setdefault(r, step.scheduled_s)
    np.testing.assert_array_equal(run.preemptions, twin.preemptions)
    np.testing.assert_allclose(run.scheduled_s, [first_steps[r] for r in range(len(twin.prompt))], rtol=1e-9)
    np.testing.assert_allclose(run.first_token_s, twin.first_token_s, rtol=1e-9)
    np.testing.assert_allclose(run.finish_s, twin.finish_s, rtol=1e-9)
    assert run.steps == sum(bool(step.tokens) for step in twin.steps)


POLICIES = [
    Ranked("fcfs", by_arrival),
    Ranked("order of its own", by_priority),
    Ranked("priority", by_priority, victim=Victim.WORST_KEY),
    Ranked("order with aging", by_priority, max_wait_s=4.0),
    Ranked("priority with aging", by_priority, victim=Victim.WORST_KEY, max_wait_s=1.0),
]
MOVING = [
    Ranked("rising", rising, victim=Victim.WORST_KEY, levels=Levels(3)),
    Ranked("falling, last admitted goes", falling, levels=Levels(2, 1.5), max_wait_s=2.0),
    Ranked("rising, gives way", rising, victim=Victim.WORST_KEY, levels=Levels(2), gives_way=True),
    Ranked("falling, gives way, with aging", falling, levels=Levels(1, 2.0), gives_way=True, max_wait_s=3.0),
    Ranked("static, gives way", by_priority, gives_way=True, max_wait_s=5.0),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@pytest.mark.parametrize("policy", POLICIES + MOVING, ids=lambda policy: policy.name)
def test_kernel_equals_its_twin(policy: Ranked, case: tuple[Trace, Worker]) -> None:
    trace, worker = case
    twin = twin_of(trace, worker, policy)
    event(f"preemptions: {min(sum(twin.preemptions), 3)}")
    assert_same_as_twin(simulate(trace, worker, policy), twin)


def tight(asynchronous: bool) -> tuple[Trace, Worker]:
    """200 requests, of which sixty fit by their prompts and three by their peaks."""
    rng = np.random.default_rng(3)
    n = 200
    trace = Trace(
        arrival_s=np.cumsum(rng.exponential(0.1, n)),
        prompt_tokens=rng.integers(1, 8, n),
        output_tokens=rng.integers(50, 200, n),
        priority=rng.integers(0, 5, n),
    )
    return trace, Worker(STEP_TIMES[0], 64, 48, kv_tokens=480, block_size=8, async_scheduling=asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("policy", POLICIES[:3], ids=lambda policy: policy.name)
def test_kernel_equals_its_twin_under_heavy_preemption(policy: Ranked, asynchronous: bool) -> None:
    trace, worker = tight(asynchronous)
    twin = twin_of(trace, worker, policy)
    assert sum(twin.preemptions) > 3 * len(trace)
    assert_same_as_twin(simulate(trace, worker, policy), twin)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("policy", MOVING, ids=lambda policy: policy.name)
def test_moving_keys_equal_their_twins_under_heavy_preemption(policy: Ranked, asynchronous: bool) -> None:
    trace, worker = tight(asynchronous)
    twin = twin_of(trace, worker, policy)
    assert sum(twin.preemptions) > len(trace)
    assert_same_as_twin(simulate(trace, worker, policy), twin)


GATED = [
    *(Ranked(gate.name.lower(), by_priority, gate=gate, alpha=0.2, headroom=5) for gate in Gate),
    Ranked("cleared", by_arrival, gate=Gate.PROTECT, victim=Victim.CLEAR, alpha=0.2, beta=0.5),
    Ranked("look ahead with aging", by_priority, gate=Gate.LOOK_AHEAD, max_wait_s=2.0),
    *(
        Ranked(
            f"falling under {gate.name.lower()}", falling, gate, levels=Levels(2), gives_way=True, alpha=0.2, headroom=5
        )
        for gate in Gate
    ),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@pytest.mark.parametrize("policy", POLICIES + GATED + MOVING, ids=lambda policy: policy.name)
def test_jumping_over_steps_changes_nothing(policy: Ranked, case: tuple[Trace, Worker]) -> None:
    trace, worker = case
    jumped = simulate(trace, worker, policy)
    stepped = simulate(trace, worker, policy, every_step=True)
    for name in ("scheduled_s", "first_token_s", "finish_s", "preemptions"):
        np.testing.assert_array_equal(getattr(jumped, name), getattr(stepped, name), err_msg=name)
    assert jumped.steps == stepped.steps
    assert math.isclose(jumped.mean_kv_tokens, stepped.mean_kv_tokens, rel_tol=1e-9)
    assert jumped.peak_kv_tokens == stepped.peak_kv_tokens <= worker.kv_tokens


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@pytest.mark.parametrize("policy", POLICIES + GATED + MOVING, ids=lambda policy: policy.name)
def test_a_policy_decides_the_same_asked_in_python(policy: Ranked, case: tuple[Trace, Worker]) -> None:
    trace, worker = case
    compiled = simulate(trace, worker, policy)
    asked = simulate(trace, worker, policy, interpreted=True)
    for name in ("scheduled_s", "first_token_s", "finish_s", "preemptions"):
        np.testing.assert_array_equal(getattr(asked, name), getattr(compiled, name), err_msg=name)
