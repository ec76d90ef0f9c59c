"""The plan: sizes that are least, numbers that follow from one another, and honest refusals."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from shadowprice.capacity import stability
from shadowprice.errors import InfeasibleError, PolicyError, TraceError
from shadowprice.fleet import Fleet, StepTime, Worker
from shadowprice.plan.bursts import doubled, worst
from shadowprice.plan.measure import Policies, measure, run
from shadowprice.plan.results import Plan
from shadowprice.plan.search import least
from shadowprice.plan.sizing.plan import plan, with_price
from shadowprice.plan.targets import Targets, alone, impossible, too_short
from shadowprice.scheduling.policies import fcfs, priced_work
from shadowprice.workload import Trace
from tests.plan.plan_cases import chat, h100

TARGETS = Targets(0.2, 0.03)


@pytest.fixture(scope="module")
def found() -> Plan:
    return plan(chat(), h100(), TARGETS, jobs=1)


def test_planned_size_meets_the_targets_and_one_fewer_does_not(found: Plan) -> None:
    by_size = {at.workers: at for at in found.at}
    size = found.workers_slo
    assert size is not None and size > found.workers_stable
    assert by_size[size].meets and not by_size[size - 1].meets and by_size[size + 1].meets
    assert found.answered


def test_stable_size_is_the_least_whose_load_is_below_one(found: Plan) -> None:
    needed = stability(found.trace, found.fleet.worker).load_per_worker
    assert needed is not None
    assert found.workers_stable - 1 <= needed < found.workers_stable


def test_numbers_of_a_size_follow_from_each_other(found: Plan) -> None:
    trace, tokens_per_s = found.trace, found.trace.output_tokens.sum() / found.trace.span_s
    for at in found.at:
        assert at.cost_per_mtok.value == pytest.approx(1e6 * at.workers * 2.5 / 3600 / tokens_per_s)
        assert at.goodput_per_s.value == pytest.approx((at.inside.value or 0) * len(trace) / trace.span_s)
        for measured in (at.ttft_s, at.tpot_s, at.goodput_per_s, at.cost_per_mtok, at.energy_j_per_token):
            assert measured.interval is not None and measured.value is not None
            assert measured.interval[0] <= measured.value * (1 + 1e-9) <= measured.interval[1] * (1 + 1e-6)


def test_more_workers_are_never_slower_or_cheaper(found: Plan) -> None:
    """With the same requests at every size; the p99 may move a little against it."""
    ttft = [at.ttft_s.value or 0 for at in found.at]
    cost = [at.cost_per_mtok.value or 0 for at in found.at]
    assert all(later <= 1.05 * earlier for earlier, later in pairwise(ttft))
    assert cost == sorted(cost)


def test_energy_is_peak_power_in_steps_and_idle_power_otherwise() -> None:
    trace, fleet = chat(1000), replace(h100(), idle_power_w=100.0, peak_power_w=700.0)
    served = run(trace, fleet, 4, Policies(fcfs()))
    busy_s = sum(engine.busy_s for engine in served.runs)
    last_s = (trace.arrival_s + served.e2e_s).max() - trace.arrival_s[0]
    energy = 700 * busy_s + 100 * (4 * last_s - busy_s)
    at = measure(served, trace, fleet, 4, Targets())
    assert at.energy_j_per_token.value == pytest.approx(energy / trace.output_tokens.sum())


def test_json_is_plain_and_complete(found: Plan) -> None:
    dumped = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {"rate_per_s", "rate_max_per_worker", "interval", "binding", "headroom"} <= set(dumped["stability"])
    assert dumped["workers"] == {"stable": found.workers_stable, "slo": found.workers_slo}
    wanted = {"ttft_p99_s", "tpot_p99_s", "goodput_per_s", "cost_per_mtok", "energy_j_per_token"}
    assert all(wanted <= set(at) and {"value", "interval"} == set(at["ttft_p99_s"]) for at in dumped["at"])
    assert {"hbm", "compute", "context"} <= set(dumped["prices"])


def test_text_says_what_was_asked(found: Plan) -> None:
    text = " ".join(str(found).split())
    for words in ("can be stable, no fewer", "p99 TTFT 0.200 s", "one worker fewer", "one worker more", "2x burst"):
        assert words in text
    assert "worst stretch" in text and "twice the HBM" in text and "-bound:" in text
    assert "<pre" in found._repr_html_()


def test_intervals_near_saturation_are_said_to_be_too_narrow() -> None:
    near, far = (plan(chat(2000, rate), h100(None), jobs=1) for rate in (44.0, 25.0))
    assert "too narrow from load 0.90 on" in " ".join(str(near).split()) and near.at[0].load > 0.9
    assert "too narrow from load" not in str(far)


def test_the_same_whatever_the_number_of_processes(found: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowprice.plan.sizing.plan.WORTH_PROCESSES", 0)
    assert plan(chat(), h100(), TARGETS, jobs=2).to_json() == found.to_json()


def test_without_targets_the_stable_minimum_is_planned() -> None:
    found = plan(chat(2000), h100(None), jobs=1)
    assert found.workers == found.workers_stable and found.workers_slo is None
    assert all(at.cost_per_mtok.value is None for at in found.at)


def test_better_scheduling_and_routing_are_taken_into_account() -> None:
    trace = chat(2000, rate_per_s=44.0)
    today, ours = (run(trace, h100(), 2, Policies(rule, "join_shortest_queue")) for rule in (fcfs(), priced_work()))
    assert ours.e2e_s.mean() < today.e2e_s.mean()
    with pytest.raises(PolicyError, match="did you mean 'round_robin'"):
        Policies(fcfs(), "round-robin")


@pytest.mark.parametrize(("targets", "name"), [(Targets(ttft_s=0.001), "TTFT"), (Targets(tpot_s=0.001), "TPOT")])
def test_a_target_below_the_time_alone_is_impossible_at_any_size(targets: Targets, name: str) -> None:
    found = plan(chat(2000), h100(), targets, jobs=1)
    assert not found.answered and found.workers is None
    assert found.impossible is not None and found.impossible.startswith(
        f"impossible at any size, because the p99 of {name}"
    )
    assert "the median request" in found.impossible and found.impossible in " ".join(str(found).split())


def test_impossible_is_proved_by_one_worker_per_request() -> None:
    """The floor is what happens when every request has a worker of its own, to the last bit of the clock."""
    trace = chat(200)
    ttft_s, tpot_s = alone(trace, h100().worker)
    served = run(trace, h100(), len(trace), Policies(fcfs()))
    np.testing.assert_allclose(served.ttft_s, ttft_s, rtol=1e-6)
    np.testing.assert_allclose((served.e2e_s - served.ttft_s) / (trace.output_tokens - 1), tpot_s, rtol=1e-6)
    floor = float(np.quantile(ttft_s, 0.99))
    assert impossible(trace, h100().worker, Targets(floor * 0.999)) and not impossible(
        trace, h100().worker, Targets(floor * 1.001)
    )


def test_a_trace_too_short_says_so() -> None:
    worker = h100().worker
    assert "requests; a p99 takes 1,000" in (too_short(chat(900), worker, TARGETS) or "")
    assert "spans" in (too_short(chat(2000, rate_per_s=500.0), worker, TARGETS) or "")
    assert too_short(chat(4000), worker, TARGETS) is None
    found = plan(chat(900), h100(), TARGETS, jobs=1)
    assert not found.answered and "too short to judge" in str(found)


def test_traces_without_a_rate_and_requests_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TraceError, match="have no rate"):
        plan(Trace(np.zeros(3), np.ones(3), np.ones(3)), h100(), TARGETS)
    small = Fleet("small", Worker(StepTime(1e-3, 0, 0, 0), kv_tokens=64))
    with pytest.raises(InfeasibleError, match="more KV tokens than a worker"):
        plan(chat(50), small, TARGETS)
    with pytest.raises(TraceError, match="names no GPU"):
        with_price(small, 2.0)
    with pytest.raises(TraceError, match="a number of seconds > 0"):
        Targets(-1.0)


def test_doubled_keeps_the_requests_and_doubles_their_rate_for_a_while() -> None:
    trace = chat(20_000, rate_per_s=10.0)
    burst, start_s, end_s = doubled(trace)
    assert end_s - start_s == 300 and len(burst) == len(trace)
    inside = np.count_nonzero((burst.arrival_s >= start_s) & (burst.arrival_s < end_s))
    same = np.count_nonzero(
        (trace.arrival_s - trace.arrival_s[0] >= start_s) & (trace.arrival_s - trace.arrival_s[0] < start_s + 600)
    )
    assert abs(inside - same) <= 1
    assert burst.span_s == pytest.approx(trace.span_s - 300)


def test_worst_stretch_is_where_most_work_arrives() -> None:
    trace = chat(20_000, rate_per_s=10.0)
    burst, start_s, end_s = doubled(trace)
    begin_s, stop_s = worst(burst, h100())
    assert stop_s - begin_s == 300
    assert min(stop_s, end_s) - max(begin_s, start_s) > 200


def test_a_burst_that_is_felt_is_recovered_from_or_said_not_to_be() -> None:
    felt = plan(chat(20_000, rate_per_s=20.0), h100(), Targets(1.0), jobs=1)
    assert felt.workers == 2 and felt.doubled is not None and felt.doubled.load > 0.9
    assert felt.doubled.inside < 0.9 and 1 < (felt.doubled.recovery_s or 0) < 60
    beyond = plan(chat(20_000, rate_per_s=15.0), h100(), Targets(1.0), jobs=1)
    assert beyond.workers == 1 and beyond.doubled is not None and beyond.doubled.load > 1
    assert beyond.doubled.inside < 0.2 and beyond.doubled.recovery_s is None
    assert "not recovered when the trace ends" in " ".join(str(beyond).split())


@pytest.mark.parametrize("seed", range(20))
def test_search_finds_the_least_and_asks_each_number_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = int(rng.integers(1, 400))
    start = int(rng.integers(1, first + 1))
    most = int(rng.integers(start, 600))
    asked: list[int] = []

    def passes(numbers: list[int]) -> list[bool]:
        asked.extend(numbers)
        return [n >= first for n in numbers]

    assert least(passes, start, most) == (first if first <= most else None)  # type: ignore[arg-type]
    assert len(asked) == len(set(asked)) and start <= min(asked) and max(asked) <= most


def test_a_trace_that_keeps_a_thousand_workers_busy_is_remarked_on() -> None:
    """Milliseconds taken for seconds look like that."""
    rushed = Trace(np.arange(300.0) / 1e6, np.full(300, 900), np.full(300, 40), name="rushed")
    assert any("are the trace's times in another unit than seconds?" in note for note in plan(rushed, h100()).notes)
    assert not any("another unit" in note for note in plan(chat(), h100()).notes)
