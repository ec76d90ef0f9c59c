"""Scheduling certificates: what they say is what the simulator does, and never below the bound."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from shadowprice.audit import AuditOptions, audit, make_case, run_fleet
from shadowprice.audit import scheduling as under_test
from shadowprice.audit.scheduling import certify
from shadowprice.audit.words import seconds
from shadowprice.fleet import Fleet
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.scheduling.policies import POLICIES, priced_work
from shadowprice.simulate import simulate
from shadowprice.workload import Trace
from tests.audit.small_cases import fleets, small_fleet, small_trace, traces


@settings(max_examples=150, deadline=None)
@given(traces(), fleets())
def test_no_policy_beats_the_bound_and_the_gap_is_what_it_says(trace: Trace, fleet: Fleet) -> None:
    finding = certify(make_case(trace, fleet))
    for certificate in finding.certificates:
        assert certificate.bound is not None and certificate.gap is not None
        assert certificate.bound <= certificate.value * (1 + 1e-9)
        assert certificate.value == pytest.approx(certificate.bound * (1 + certificate.gap))


def test_values_are_the_simulators() -> None:
    trace, fleet = small_trace(), small_fleet()
    finding = certify(make_case(trace, fleet))
    shifted = replace(trace, arrival_s=trace.arrival_s - trace.arrival_s[0])
    for name in under_test.listed(trace):
        assert finding.of(name).value == simulate(shifted, fleet.worker, POLICIES[name]()).e2e_s.mean()
    longest_wait_s = float(finding.served["fcfs"].wait_s.max())
    aged = simulate(shifted, fleet.worker, priced_work(max_wait_s=longest_wait_s))
    assert finding.certificates[-1].value == aged.e2e_s.mean()
    bound = latency_bound(shifted.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker)
    assert {certificate.bound for certificate in finding.certificates} == {bound.mean_s}


def test_a_given_bound_on_waiting_is_used_and_named() -> None:
    case = make_case(small_trace(), small_fleet(), options=AuditOptions(max_wait_s=2.0))
    finding = certify(case)
    assert finding.certificates[-1].policy == "priced_work, max wait 2.00 s"
    assert finding.certificates[-1].value == run_fleet(case.trace, case.fleet, priced_work(2.0)).e2e_s.mean()


def test_workers_are_dealt_requests_round_robin_and_the_model_says_so() -> None:
    trace, fleet = small_trace(50), small_fleet(workers=3)
    finding = certify(make_case(trace, fleet))
    served = finding.served["fcfs"]
    for k in range(3):
        alone = simulate(trace.take(np.arange(k, 50, 3)), fleet.worker, POLICIES["fcfs"]())
        np.testing.assert_allclose(served.e2e_s[k::3], alone.e2e_s, rtol=1e-9)
        np.testing.assert_allclose(served.ttft_s[k::3], alone.ttft_s, rtol=1e-9)
        np.testing.assert_allclose(served.wait_s[k::3], alone.scheduled_s - alone.trace.arrival_s, atol=1e-9)
    assert all("round robin" in certificate.model for certificate in finding.certificates)


def test_more_workers_than_requests() -> None:
    assert len(certify(make_case(small_trace(2), small_fleet(workers=5))).served["fcfs"].runs) == 2


def test_the_model_says_how_well_lengths_are_known() -> None:
    trace, fleet = small_trace(), small_fleet()
    known = certify(make_case(trace, fleet)).certificates[0].model
    forecast = replace(trace, predicted_output=2 * trace.output_tokens)
    assert known.endswith("output lengths known")
    assert certify(make_case(forecast, fleet)).certificates[0].model.endswith("half of them off by more than 100 %")


def test_best_is_the_smallest_value_and_todays_advice_names_both_numbers() -> None:
    finding = audit(small_trace(200), small_fleet(), [1.2]).findings[0]
    values = {c.policy: c.value for c in finding.certificates}
    assert values[finding.best] == min(values[name] for name in under_test.listed(finding.case.trace))
    assert finding.of("fcfs").advice.startswith(f"Serve {POLICIES[finding.best]().words}: ")


def test_advice_does_not_hide_a_longer_longest_wait() -> None:
    finding = audit(small_trace(200), small_fleet(), [1.2]).findings[0]
    wait, wait_there = (finding.served[policy].wait_s.max() for policy in ("fcfs", finding.best))
    assert wait_there > wait
    assert f"grows from {seconds(wait)} to {seconds(wait_there)}; at most" in finding.of("fcfs").advice


def test_an_idle_fleet_is_told_to_keep_what_it_has() -> None:
    finding = certify(make_case(small_trace(1), small_fleet()))
    assert finding.of("fcfs").advice == "Keep it: it is optimal, no policy can do better here."


def test_a_bound_that_a_policy_beats_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect put in on purpose: the guard is the last line between a wrong bound and a certificate."""

    def too_large(*arguments: object) -> object:
        bound = latency_bound(*arguments)  # type: ignore[arg-type]
        return replace(bound, mean_s=1000 * bound.mean_s)

    monkeypatch.setattr(under_test, "latency_bound", too_large)
    with pytest.raises(RuntimeError, match="below the bound"):
        certify(make_case(small_trace(), small_fleet()))
