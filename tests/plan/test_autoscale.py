"""Autoscaling: what is paid, who may serve, and a plan that beats reacting."""

from functools import partial

import numpy as np
import pytest

from shadowprice.capacity.policies import Reactive
from shadowprice.capacity.stability import charges_s
from shadowprice.errors import TraceError
from shadowprice.plan.autoscale import Autoscaled, AutoscaleOptions, _paid_s, _react, autoscale
from shadowprice.plan.targets import Targets
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload import Sizes, Trace, diurnal_arrivals, generate, lognormal_lengths
from tests.plan.plan_cases import h100


@pytest.fixture(scope="module")
def day() -> Trace:
    """A day in half an hour: from a tenth of the mean rate to almost twice of it, three times."""
    arrivals = partial(diurnal_arrivals, amplitude=0.9, period_s=600.0, peak_s=300.0)
    sizes = Sizes(lognormal_lengths(800, 0.8, 4000), lognormal_lengths(150, 0.7, 800))
    return generate(arrivals, sizes, np.random.default_rng(0), rate_per_s=40.0, duration_s=1800.0, name="day")


@pytest.fixture(scope="module")
def scaled(day: Trace) -> Autoscaled:
    return autoscale(day, h100(), Targets(1.0, 0.05), fcfs(), AutoscaleOptions(period_s=100.0, delay_s=60.0))


def test_all_ways_meet_the_targets_and_none_beats_the_bound(scaled: Autoscaled, day: Trace) -> None:
    assert scaled.bound_worker_hours == pytest.approx(charges_s(day, h100().worker).sum() / 3600)
    for way in (scaled.fixed, scaled.reactive, scaled.planned):
        assert way.meets and way.ttft_s <= 1.0 and way.tpot_s <= 0.05
        assert way.worker_hours > scaled.bound_worker_hours


def test_the_plan_is_cheaper_than_reacting_and_than_a_fixed_fleet(scaled: Autoscaled) -> None:
    """With swings this fast against the delay, reacting costs even more than a fleet of the largest size."""
    assert scaled.planned.worker_hours < 0.9 * scaled.fixed.worker_hours
    assert scaled.planned.worker_hours < 0.9 * scaled.reactive.worker_hours


def test_reacting_pays_for_its_delay(day: Trace, scaled: Autoscaled) -> None:
    slower = autoscale(day, h100(), Targets(1.0, 0.05), fcfs(), AutoscaleOptions(period_s=100.0, delay_s=180.0))
    assert slower.reactive.worker_hours > scaled.reactive.worker_hours


def test_text_and_json_have_all_three(scaled: Autoscaled) -> None:
    dumped = scaled.to_json()
    assert {"fixed", "reactive", "planned", "bound_worker_hours"} <= set(dumped)
    assert len(dumped["planned"]["changes"]) == len(scaled.planned.size)


def test_workers_are_paid_from_their_start_until_they_are_done() -> None:
    trace = Trace(np.array([0.0, 10.0, 95.0]), np.ones(3), np.ones(3))
    change_s, size = np.array([0.0, 50.0, 80.0]), np.array([1, 2, 1])
    worker, finish_s = np.array([0, 0, 0]), np.array([5.0, 15.0, 99.0])
    # worker 0: 0 to 99; worker 1: asked for at 40, served from 50 to 80
    assert _paid_s(trace, change_s, size, worker, finish_s, 10.0) == pytest.approx(99 + 30 + 10)
    late = Trace(np.array([0.0, 79.0, 95.0]), np.ones(3), np.ones(3))
    assert _paid_s(late, change_s, size, np.array([0, 1, 0]), np.array([5.0, 91.0, 99.0]), 10.0) == pytest.approx(
        99 + 41 + 10
    )


def test_a_request_goes_to_a_worker_that_serves_when_it_arrives(day: Trace) -> None:
    charge_s = charges_s(day, h100().worker)
    change_s, size, worker = _react(day, charge_s, 60.0, Reactive(0.7))
    serving = size[np.searchsorted(change_s, day.arrival_s, side="right") - 1]
    assert (worker < serving).all()
    assert len(set(size)) > 2


def test_too_short_a_trace_or_no_period_is_refused(day: Trace) -> None:
    with pytest.raises(TraceError, match="at least four periods"):
        autoscale(day, h100(), Targets(1.0), fcfs(), AutoscaleOptions(period_s=600.0))
    for period_s in (0.0, float("nan")):
        with pytest.raises(TraceError, match=r"the period is .* s; expected a number > 0"):
            autoscale(day, h100(), Targets(1.0), fcfs(), AutoscaleOptions(period_s=period_s))
    with pytest.raises(TraceError, match="the provisioning delay is -1 s"):
        autoscale(day, h100(), Targets(1.0), fcfs(), AutoscaleOptions(delay_s=-1.0))
