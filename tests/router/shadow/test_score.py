"""Shadow evaluation: scores, their bounds, and the requests they are taken of."""

import json
import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from shadowprice.errors import PolicyError, RouterError
from shadowprice.fleet import StepTime, Worker
from shadowprice.router.shadow.score import ShadowSetting, evaluate
from shadowprice.router.shadow.trace import beside_measured, measured, trace_of
from shadowprice.routing.optimum import barrier_time_bound
from shadowprice.routing.policies import POLICIES
from shadowprice.scheduling import POLICIES as SCHEDULING
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.cluster import simulate_cluster
from tests.router.finished_requests import chat, finished

STEP = StepTime(0.02, 0.0, 1e-7, 0.0)
REPLICA = StepTime(6e-3, 1e-5, 4e-8, 2e-5)
BOTH = pytest.mark.parametrize("lockstep", [True, False])


@BOTH
def test_every_policy_is_scored_and_none_beats_the_bound(lockstep: bool) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        trace = chat(300, float(rng.choice([2.0, 20.0, 200.0])), seed)
        time = StepTime(0.02, 0.0, 10.0 ** rng.uniform(-8, -5), 0.0) if lockstep else REPLICA
        pool = int(rng.choice([4, 64])) if lockstep and seed % 2 else None
        result = evaluate(
            trace,
            ShadowSetting(
                workers=int(rng.integers(1, 9)),
                slots=int(rng.choice([1, 8, 64])),
                step_time=time,
                lockstep=lockstep,
                active="round_robin",
                pool=pool,
            ),
        )
        assert [row.policy for row in result.rows] == list(POLICIES)
        assert [row.policy for row in result.rows if row.active] == ["round_robin"]
        assert result.requests == 300
        for row in result.rows:
            assert row.bound is not None and 0 < row.bound <= row.value * (1 + 1e-9)
            assert row.gap >= -1e-9
            assert 0 <= row.idle_share < 1
            assert row.service.ttft_p50_s <= row.service.ttft_p99_s
            assert row.service.e2e_mean_s > 0


def test_scores_in_lockstep_are_those_of_the_barrier_simulator() -> None:
    trace = chat(400, 100.0)
    result = evaluate(trace, ShadowSetting(workers=4, slots=8, step_time=STEP, lockstep=True, active="bf_io"))
    run = simulate_barrier(trace, POLICIES["bf_io"](), Ranks(workers=4, slots=8, step_time=STEP))
    row = result.of("bf_io")
    assert row.active
    assert row.value == run.barrier_s
    assert row.idle_share == run.idle_s / (4 * run.barrier_s)
    assert row.service.e2e_mean_s == (run.finish_s - trace.arrival_s).mean()
    assert row.service.throughput_tok_s == pytest.approx(run.throughput_tok_s)
    assert result.of("priced_holes").idle_share < result.of("random").idle_share


def test_the_policies_scored_are_set_as_the_live_one_is() -> None:
    trace = chat(400, 200.0)
    few = {"prefill_kv_tokens": 0.5, "most_passes": 3}
    shape: dict[str, Any] = {"workers": 4, "slots": 8, "step_time": STEP, "pool": 64}
    row = evaluate(trace, ShadowSetting(**shape, lockstep=True, active="bf_io", **few)).of("bf_io")
    run = simulate_barrier(trace, POLICIES["bf_io"](**few), Ranks(4, 8, STEP), pool=64)
    assert (row.value, row.passes) == (run.barrier_s, run.passes.max())
    assert row.passes < evaluate(trace, ShadowSetting(**shape, lockstep=True, active="bf_io")).of("bf_io").passes


def test_scores_of_replicas_are_those_of_the_cluster_simulator() -> None:
    trace = chat(400, 100.0)
    result = evaluate(
        trace,
        ShadowSetting(workers=3, slots=16, step_time=REPLICA, lockstep=False, active="least_kv", kv_tokens=40_000),
    )
    worker = Worker(REPLICA, max_num_seqs=16, kv_tokens=40_000)
    run = simulate_cluster(trace, worker, 3, SCHEDULING["fcfs"](), POLICIES["least_kv"]())
    row = result.of("least_kv")
    assert row.value == row.service.e2e_mean_s == run.served.e2e_s.mean()
    assert row.service.ttft_p99_s == np.quantile(run.served.ttft_s, 0.99)
    assert row.service.throughput_tok_s == pytest.approx(run.throughput_tok_s)


def test_without_a_memory_limit_the_slots_bind_and_not_the_memory() -> None:
    trace = chat(200, 500.0)
    free = evaluate(trace, ShadowSetting(workers=2, slots=8, step_time=REPLICA, lockstep=False, active="random"))
    ample = evaluate(
        trace, ShadowSetting(workers=2, slots=8, step_time=REPLICA, lockstep=False, active="random", kv_tokens=10**7)
    )
    assert [row.service for row in free.rows] == [row.service for row in ample.rows]


@BOTH
def test_a_bound_that_a_policy_beats_is_not_printed(lockstep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a bound ever wrong: here it is made so."""

    def too_high(*arguments: object) -> object:
        bound = latency_bound(*arguments)
        return replace(bound, mean_s=100 * bound.mean_s)

    monkeypatch.setattr(
        "shadowprice.router.shadow.score.barrier_time_bound", lambda *a, **k: 100 * barrier_time_bound(*a, **k)
    )
    monkeypatch.setattr("shadowprice.router.shadow.score.latency_bound", too_high)
    result = evaluate(
        chat(200, 100.0), ShadowSetting(workers=2, slots=64, step_time=STEP, lockstep=lockstep, active="random")
    )
    assert all(row.bound is None and row.gap is None for row in result.rows)
    assert result.bound_method.startswith("none: ")


@BOTH
def test_result_is_plain_json(lockstep: bool) -> None:
    trace = chat(50).take(np.arange(50))
    result = evaluate(
        trace, ShadowSetting(workers=2, slots=4, step_time=STEP, lockstep=lockstep, active="my own policy")
    )
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"requests", "window_s", "workers", "model", "objective", "unit", "bound_method", "rows"} <= set(found)
    columns = {"policy", "active", "idle_share", "ttft_p50_s", "ttft_p99_s", "tpot_s", "e2e_mean_s"}
    columns |= {"throughput_tok_s", "passes", "value", "bound", "gap"}
    assert all(set(row) == columns for row in found["rows"])
    assert not any(row["active"] for row in found["rows"])


def test_impossible_questions_are_refused() -> None:
    trace = chat(5)
    known = {"slots": 2, "step_time": STEP, "lockstep": True, "active": "random"}
    with pytest.raises(PolicyError, match="'best'; expected some of round_robin"):
        evaluate(trace, ShadowSetting(workers=2, **known), ["best"])
    with pytest.raises(PolicyError, match="0 workers"):
        evaluate(trace, ShadowSetting(workers=0, **known))
    with pytest.raises(PolicyError, match="0 requests"):
        evaluate(trace.take([]), ShadowSetting(workers=2, **known))


def test_finished_requests_become_their_trace() -> None:
    made = chat(40)
    rows = finished(made)
    trace = trace_of(rows[::-1])  # in whatever order they finish
    np.testing.assert_allclose(trace.arrival_s, made.arrival_s - made.arrival_s[0], atol=1e-6)
    np.testing.assert_array_equal(trace.prompt_tokens, made.prompt_tokens)
    np.testing.assert_array_equal(trace.output_tokens, made.output_tokens)
    assert trace.session.tolist() == [k // 4 for k in range(40)]
    assert trace.prefix[3].tolist() == list(rows[3].prefix)
    assert trace.prefix_block_tokens == 64
    learning = [msgspec.structs.replace(row, prefix_block_tokens=50 + k) for k, row in enumerate(rows)]
    assert trace_of(learning).prefix_block_tokens == 89 and np.all(np.diff(trace_of(learning).prefix.offsets) > 0)
    bare = [msgspec.structs.replace(row, session=None, prefix=(), prefix_block_tokens=0) for row in rows]
    assert trace_of(bare).session is None and trace_of(bare).prefix is None
    large = msgspec.structs.replace(rows[0], session=2**64 - 2, prefix=(2**64 - 2,))
    assert trace_of([large]).session.tolist() == trace_of([large]).prefix[0].tolist() == [-2]
    for wrong in ([], [msgspec.structs.replace(rows[0], output_tokens=0)]):
        with pytest.raises(RouterError):
            trace_of(wrong)


def test_what_was_measured_stands_beside_the_model() -> None:
    made = chat(100)
    rows = finished(made, ttft_s=0.4, tpot_s=0.05)
    rows[0] = msgspec.structs.replace(rows[0], ttft_s=None, streamed=False)
    real = measured(rows)
    assert real.ttft_p50_s == pytest.approx(0.4) and real.tpot_s == pytest.approx(0.05)
    assert real.e2e_mean_s == pytest.approx(0.4 + 0.05 * (made.output_tokens - 1).mean())
    result = evaluate(
        trace_of(rows), ShadowSetting(workers=2, slots=64, step_time=STEP, lockstep=True, active="random")
    )
    beside = beside_measured(result, real, "random")
    row = result.of("random")
    assert beside["model_error"]["ttft_p50_s"] == pytest.approx(row.service.ttft_p50_s / 0.4 - 1)
    assert beside["measured"]["e2e_mean_s"] == real.e2e_mean_s
    assert set(beside_measured(result, real, "my own")["model_error"].values()) == {None}
    plain = measured([rows[0]])
    assert math.isnan(plain.ttft_p50_s) and math.isnan(plain.tpot_s)
    assert beside_measured(result, plain, "random")["measured"]["ttft_p50_s"] is None
