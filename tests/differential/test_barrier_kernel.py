"""The compiled barrier simulator and its compiled policies do what plain Python does."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from barrier_twin import serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from routing_twin import HEURISTICS, FillHoles, InOrder

from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import POLICIES, Compiled, RoutingPolicy, bf_io, priced_holes
from shadowprice.simulate.barrier import BarrierRun, Ranks, simulate_barrier
from shadowprice.workload.trace import Ragged, Trace

STEP_TIMES = [StepTime(0.02, 0.0, 1e-4, 0.0), StepTime(1.0, 0.0, 0.0, 0.0), StepTime(0.01, 0.002, 1e-5, 0.0)]


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Up to 60 requests: together, in bursts or apart; prompts alike or heavy-tailed; sessions and shared prefixes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 60))
    gap_s = draw(st.sampled_from([0.0, 0.01, 0.1, 5.0]))
    longest = draw(st.sampled_from([1, 5, 40]))
    prompt = np.maximum(1, rng.lognormal(3, draw(st.sampled_from([0.0, 1.5])), n)).astype(np.int64)
    output = rng.integers(1, longest + 1, n)
    prefix = None
    if draw(st.booleans()):
        chains = [list(range(10 * k, 10 * k + 10)) for k in range(4)]
        parts = [chains[rng.integers(4)][: max(0, min(10, int(p) // 4))] for p in prompt]
        prefix = Ragged.from_lengths(np.array([b for part in parts for b in part], np.int64), [len(p) for p in parts])
    return Trace(
        arrival_s=np.cumsum(rng.exponential(1.0, n)) * gap_s,
        prompt_tokens=prompt,
        output_tokens=output,
        predicted_output=rng.integers(1, longest + 1, n) if draw(st.booleans()) else None,
        session=rng.integers(-1, 4, n),
        prefix=prefix,
        prefix_block_tokens=4 if prefix is not None else 0,
    )


@dataclass(frozen=True)
class How:
    ranks: Ranks
    pool: int | None
    saturated: bool

    def run(self, trace: Trace, policy: RoutingPolicy) -> BarrierRun:
        return simulate_barrier(trace, policy, self.ranks, pool=self.pool, saturated=self.saturated)


@st.composite
def settings_of_a_run(draw: st.DrawFn) -> How:
    pool = draw(st.sampled_from([None, 1, 3, 64]))
    ranks = Ranks(
        workers=draw(st.integers(1, 5)),
        slots=draw(st.sampled_from([1, 2, 7])),
        step_time=draw(st.sampled_from(STEP_TIMES)),
    )
    return How(ranks, pool, saturated=pool is not None and draw(st.booleans()))


def assert_same(run: BarrierRun, other: BarrierRun) -> None:
    for name in ("worker", "passes", "offered_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(getattr(run, name), getattr(other, name), err_msg=name)
    assert (run.barrier_s, run.idle_s, run.steps) == (other.barrier_s, other.idle_s, other.steps)


def assert_like_the_twin(trace: Trace, run: BarrierRun, policy: RoutingPolicy, how: How) -> None:
    ranks = how.ranks
    served, barrier_s, idle_s = serve(
        trace, policy, ranks.workers, ranks.slots, ranks.step_time, how.pool, how.saturated
    )
    np.testing.assert_array_equal(run.worker, [r.worker for r in served])
    np.testing.assert_array_equal(run.passes, [r.passes for r in served])
    for name in ("offered_s", "first_token_s", "finish_s"):
        np.testing.assert_allclose(getattr(run, name), [getattr(r, name) for r in served], rtol=1e-12, atol=1e-12)
    assert (run.barrier_s, run.idle_s) == pytest.approx((barrier_s, idle_s), rel=1e-9, abs=1e-9)


relaxed = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(traces(), settings_of_a_run(), st.sampled_from(list(HEURISTICS)))
def test_compiled_heuristics_do_what_plain_python_does(trace: Trace, how: How, name: str) -> None:
    run = how.run(trace, POLICIES[name]())
    assert_same(run, how.run(trace, InOrder(HEURISTICS[name])))
    assert_like_the_twin(trace, run, InOrder(HEURISTICS[name]), how)


@relaxed
@given(traces(), settings_of_a_run(), st.integers(0, 8))
def test_compiled_hole_filling_does_what_plain_python_does(trace: Trace, how: How, most_passes: int) -> None:
    how = replace(how, pool=how.pool or 5)
    run = how.run(trace, priced_holes(most_passes=most_passes))
    assert_like_the_twin(trace, run, FillHoles(most_passes), how)
    assert run.passes.max() <= most_passes


ALL = [
    *(make() for make in POLICIES.values()),
    POLICIES["br_0"](from_pool=True, most_passes=3),
    bf_io(20, 5, price=0.0),
    bf_io(10, 3, forecast="predicted", discount=0.9),
    bf_io(0),
    priced_holes(3, 1.0, prefill_kv_tokens=2.0),
]


@relaxed
@given(traces(), settings_of_a_run(), st.sampled_from(ALL), st.booleans())
def test_asking_through_assign_gives_the_compiled_result(
    trace: Trace, how: How, policy: Compiled, unequal: bool
) -> None:
    if unequal:
        how = replace(how, ranks=replace(how.ranks, speed=np.linspace(1.0, 2.0, how.ranks.workers)))
    assert_same(how.run(trace, policy), how.run(trace, policy.interpreted()))
