"""The audit as a whole: its JSON, its text, its decisions."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import pytest

from shadowprice.audit import DECISIONS, AuditOptions, Case, Finding, audit
from shadowprice.audit.case import fleet_rate_per_s
from shadowprice.certificate import Certificate
from shadowprice.errors import TraceError
from shadowprice.workload import describe
from tests.audit.small_cases import small_fleet, small_trace

LOADS = [0.5, 1.5]


def test_json_holds_trace_fleet_and_every_certificate() -> None:
    trace, fleet = small_trace(), small_fleet()
    result = json.loads(json.dumps(audit(trace, fleet, LOADS).to_json(), allow_nan=False))
    assert set(result) == {"trace", "fleet", "options", "certificates"}
    wanted = {"requests", "span_s", "rate_per_s", "prompt_tokens", "output_tokens", "skipped_rows"}
    assert wanted <= set(result["trace"])
    assert {"mean", "p50", "p90", "p99"} <= set(result["trace"]["prompt_tokens"])
    assert result["trace"]["rate_per_s"] == describe(trace).rate_per_s
    assert result["fleet"]["stable_rate_per_s"] == fleet_rate_per_s(trace, fleet)
    loads = [c["load"] for c in result["certificates"]]
    assert loads == sorted(loads) and loads.count(0.5) == loads.count(1.5) == len(loads) / 2
    names = {field.name for field in fields(Certificate)} | {"gap"}
    assert all(set(certificate) == names for certificate in result["certificates"])
    assert all(certificate["advice"] and certificate["seconds"] > 0 for certificate in result["certificates"])


def test_without_loads_the_trace_runs_as_it_is() -> None:
    trace, fleet = small_trace(), small_fleet()
    result = audit(trace, fleet)
    load = trace.rate_per_s / result.stable_rate_per_s
    assert [f.case.load for f in result.findings] == [pytest.approx(load)] * len(result.findings)


def test_overloaded_means_a_load_above_one() -> None:
    assert audit(small_trace(), small_fleet(), LOADS).overloaded
    assert not audit(small_trace(), small_fleet(), [0.5, 1.0]).overloaded


def test_the_text_has_every_number_and_todays_policy_flagged() -> None:
    result = audit(small_trace(), small_fleet(workers=2), [0.5, 1.5, 1.6])
    text = " ".join(str(result).split())
    for finding in result.findings:
        for certificate in finding.certificates:
            assert certificate.policy in text
    assert "fcfs (today)" in text and "load 1.50 of the stable rate" in text
    assert "overloaded, at this rate the queue grows without end on fewer than 3 workers" in text
    assert "on fewer than 4 workers" in text
    assert "output lengths known" in text and "<pre" in result._repr_html_()


def test_dropped_and_skipped_requests_are_said() -> None:
    trace = replace(small_trace(), skipped_rows=2, notes=("read with care",))
    result = audit(trace, small_fleet(kv_tokens=128), options=AuditOptions(drop_oversized=True))
    assert result.dropped_oversized > 0
    assert result.to_json()["trace"]["dropped_oversized"] == result.dropped_oversized
    text = str(result)
    assert "read with care" in text and "2 bad rows skipped" in text
    assert f"{result.dropped_oversized} of 60 requests dropped" in text


def test_dropping_everything_is_an_error() -> None:
    with pytest.raises(TraceError, match="no requests"):
        audit(
            small_trace().take([0]), small_fleet(kv_tokens=16, block_size=1), options=AuditOptions(drop_oversized=True)
        )


def test_a_decision_is_added_by_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision without a bound and without served requests prints, says so, and has no gap."""

    def certify(case: Case) -> Finding:
        row = Certificate("colour", "regret", "J", "cost", "red", 3.0, None, "", "paint", 0.1, case.load, "Paint it.")
        return Finding("colour", case, (row,), "red", "red")

    monkeypatch.setitem(DECISIONS, "colour", certify)
    result = audit(small_trace(), small_fleet())
    assert [f.decision for f in result.findings][-1] == "colour"
    text = str(result)
    assert "none proved" in text and "Paint it." in text and "colour model: paint" in text
    assert result.to_json()["certificates"][-1]["gap"] is None


def test_progress_sees_every_decision_and_load() -> None:
    seen = []

    def progress(todo: Sequence[tuple[str, Case]]) -> Iterable[tuple[str, Case]]:
        seen.extend((decision, case.load) for decision, case in todo)
        return todo

    audit(small_trace(), small_fleet(), LOADS, progress=progress)
    assert seen == [(decision, load) for load in LOADS for decision in DECISIONS]


def test_only_the_row_that_bounds_the_wait_has_a_sentence_of_its_own() -> None:
    """The others' last rows have nothing to say that today's did not."""
    said = str(audit(small_trace(), small_fleet(2), [0.9]))
    assert "max wait" in said.rpartition("decision: capacity")[0]
    for policy in ("priced_holes", "mc_benchmark"):
        assert f"   {policy}: " not in said
