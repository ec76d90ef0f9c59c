"""The capacity row of the audit."""

import numpy as np
from hypothesis import given, settings

from shadowprice.audit import make_case
from shadowprice.audit.capacity import RESERVED, certify
from shadowprice.fleet import Fleet, read_fleet
from shadowprice.report.plots.by_workers import latency_by_workers
from shadowprice.report.plots.gauge import headroom_gauge
from shadowprice.workload import PRESETS, Trace
from tests.audit.small_cases import fleets, small_fleet, small_trace, traces


@given(trace=traces(), fleet=fleets())
@settings(max_examples=30, deadline=None)
def test_no_rule_beats_the_closed_form(trace: Trace, fleet: Fleet) -> None:
    for certificate in certify(make_case(trace, fleet)).certificates:
        assert certificate.bound is not None and 0 < certificate.value <= certificate.bound
        assert certificate.gap is not None and 0 <= certificate.gap < 1


def test_rows_of_a_real_fleet_are_near_the_bound_and_say_what_binds() -> None:
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=5000)
    finding = certify(make_case(trace, read_fleet("llama-3.1-8b-h100"), 0.8))
    gaps = {c.policy: c.gap or 0.0 for c in finding.certificates}
    assert finding.best == "mc_benchmark" and gaps["mc_benchmark"] < 0.03
    assert gaps["mc_benchmark"] < gaps[RESERVED] < gaps["fcfs"] < 0.08
    assert "headroom 20 %" in finding.of("fcfs").advice and "-bound" in finding.of("fcfs").advice
    overloaded = certify(make_case(trace, read_fleet("llama-3.1-8b-h100"), 1.5))
    assert "more arrives than can be served; 2 workers can be stable, no fewer" in overloaded.of("fcfs").advice


def test_gauge_and_curve_are_drawn_at_any_load() -> None:
    for load in (0.01, 0.99, 3.0):
        finding = certify(make_case(small_trace(), small_fleet(workers=2), load))
        assert ("overloaded" if load > 1 else "headroom") in headroom_gauge(finding, "gauge")
        assert "workers" in latency_by_workers(finding, "curve")
