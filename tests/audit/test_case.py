"""Loads, and traces that cannot be certified."""

from dataclasses import replace

import numpy as np
import pytest

from shadowprice.audit import make_case
from shadowprice.audit.case import fleet_rate_per_s
from shadowprice.errors import InfeasibleError, TraceError
from shadowprice.fleet.oversized import drop_oversized
from shadowprice.fleet.work import priced_work
from shadowprice.workload import Trace
from tests.audit.small_cases import small_fleet, small_trace


def test_the_load_is_the_rate_over_the_fleets_stable_rate() -> None:
    trace, fleet = small_trace(), small_fleet(workers=3)
    case = make_case(trace, fleet)
    assert case.load == pytest.approx(trace.rate_per_s / fleet_rate_per_s(trace, fleet))
    assert fleet_rate_per_s(trace, fleet) == pytest.approx(3 * fleet_rate_per_s(trace, small_fleet()))


def test_no_request_costs_more_than_its_own_scarcest_resource() -> None:
    """The stable rate takes one price for all, so it is at least what each request's own prices would give."""
    trace, fleet = small_trace(), small_fleet()
    assert fleet_rate_per_s(trace, fleet) >= 1 / priced_work(
        trace.prompt_tokens, trace.output_tokens, fleet.worker
    ).mean() * (1 - 1e-12)


@pytest.mark.parametrize("load", [0.5, 1.0, 2.5])
def test_rescaling_gives_the_load_that_was_asked_for(load: float) -> None:
    fleet = small_fleet()
    case = make_case(small_trace(), fleet, load)
    assert case.load == load
    assert case.trace.rate_per_s == pytest.approx(load * fleet_rate_per_s(case.trace, fleet))
    assert case.trace.arrival_s[0] == 0


@pytest.mark.parametrize("load", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_an_impossible_load_is_refused(load: float) -> None:
    with pytest.raises(TraceError, match=r"expected a number from 0\.001 to 1000"):
        make_case(small_trace(), small_fleet(), load)


def test_an_empty_trace_is_refused() -> None:
    with pytest.raises(TraceError, match="no requests"):
        make_case(small_trace().take([]), small_fleet())


@pytest.mark.parametrize("n", [1, 5])
def test_requests_at_one_moment_have_no_load_and_none_can_be_given(n: int) -> None:
    trace = replace(small_trace(n), arrival_s=np.full(n, 7.0))
    assert make_case(trace, small_fleet()).load is None
    with pytest.raises(TraceError, match="leave out the load"):
        make_case(trace, small_fleet(), 1.0)


def test_a_request_larger_than_a_worker_is_an_error_with_a_way_out() -> None:
    trace = Trace(np.arange(4.0), np.array([10, 500, 10, 600]), np.array([5, 13, 5, 14]), name="big")
    with pytest.raises(InfeasibleError, match=r"big: 1 of 4 requests .* request 3 \(613\).* --drop-oversized"):
        make_case(trace, small_fleet())
    kept, dropped = drop_oversized(trace, small_fleet().worker)
    assert (len(kept), dropped) == (3, 1)
    assert kept.notes == ("1 of 4 requests dropped: larger than the 512 KV tokens of a worker",)
    make_case(kept, small_fleet())


def test_nothing_is_dropped_where_all_fits() -> None:
    trace = small_trace()
    assert drop_oversized(trace, small_fleet().worker) == (trace, 0)
