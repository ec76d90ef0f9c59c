"""The audit's row on prefill and decode together or apart."""

from dataclasses import replace

import pytest

from shadowprice.audit import AuditOptions, audit
from shadowprice.audit.case import make_case
from shadowprice.audit.disaggregation import certify
from shadowprice.disaggregation import Slo
from shadowprice.report.page import page_html
from tests.audit.small_cases import small_fleet, small_trace
from tests.plan.plan_cases import chat, h100


def case(slo: Slo | None, workers: int = 4):  # type: ignore[no-untyped-def]
    return make_case(chat(1500), replace(h100(), workers=workers), options=AuditOptions(slo=slo))


def test_a_tight_tpot_limit_advises_a_split_below_the_bound() -> None:
    found = certify(case(Slo(0.2, 0.012)))
    assert found is not None and found.best == "best split"
    values = {certificate.policy: certificate.value for certificate in found.certificates}
    assert values["together"] <= values["best chunk"] < values["best split"]
    for certificate in found.certificates:
        assert certificate.bound is not None and certificate.value <= certificate.bound
    assert found.of("together").advice.startswith("Let 2 workers prefill and 2 decode: ")


def test_a_loose_limit_advises_to_keep_sharing() -> None:
    found = certify(case(Slo(1.0, 0.06)))
    assert found is not None and found.best != "best split"
    assert "Keep it" in found.of(found.best).advice


@pytest.mark.parametrize("asked", [case(None), case(Slo(1.0, 0.06), workers=1)])
def test_without_limits_or_with_one_worker_there_is_nothing_to_certify(asked) -> None:  # type: ignore[no-untyped-def]
    assert certify(asked) is None


def test_it_is_in_the_table_the_json_and_the_page_once_for_all_loads() -> None:
    found = audit(small_trace(), small_fleet(workers=2), [0.5, 0.8], AuditOptions(slo=Slo(60.0, 10.0)))
    assert [one.decision for one in found.findings].count("disaggregation") == 1
    assert "highest rate with 90 % within TTFT 60.0 s and TPOT 10.0 s" in " ".join(str(found).split())
    assert sum(one["decision"] == "disaggregation" for one in found.to_json()["certificates"]) == 3
    assert "best split" in page_html(found)
