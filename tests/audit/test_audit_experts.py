"""Placement and dispatch of MoE experts in the audit."""

import json

import numpy as np
import pytest

from shadowprice.audit import AuditOptions, audit
from shadowprice.audit.experts import DISPATCH, PLACEMENT, TODAY
from shadowprice.errors import ExpertError
from shadowprice.experts import ExpertOptions, dirichlet_loads
from shadowprice.report import page_html
from tests.audit.small_cases import small_fleet, small_trace

LOADS = dirichlet_loads(
    np.random.default_rng(0), layers=2, experts=16, batches=6, batch_tokens=64, top_k=2, concentration=0.5
)

FOUR = AuditOptions(experts=ExpertOptions(4, 4))


def test_expert_loads_add_placement_and_dispatch_with_bounds() -> None:
    result = audit(small_trace(), small_fleet(), [0.5], options=FOUR, expert_loads=LOADS)
    found = {finding.decision: finding for finding in result.findings}
    without = audit(small_trace(), small_fleet(), [0.5])
    assert set(found) - {f.decision for f in without.findings} == {PLACEMENT, DISPATCH}
    for decision in (PLACEMENT, DISPATCH):
        finding = found[decision]
        assert finding.today == TODAY[decision] and finding.case is None and finding.load is None
        assert finding.of(finding.best).value == min(c.value for c in finding.certificates)
        assert finding.of(finding.best).value < finding.of(finding.today).value
        for certificate in finding.certificates:
            assert certificate.bound is not None and 1 <= certificate.bound <= certificate.value * (1 + 1e-9)
            assert certificate.load is None and certificate.advice and certificate.seconds > 0
    rows = json.loads(json.dumps(result.to_json(), allow_nan=False))["certificates"]
    assert [row["policy"] for row in rows if row["decision"] == DISPATCH] == ["even", "random", "nearest", "optimal"]
    assert not result.overloaded and "on expert loads" in str(result)


def test_gpu_loads_shown_are_those_of_the_judged_half() -> None:
    placement, dispatch = audit(small_trace(), small_fleet(), options=FOUR, expert_loads=LOADS).findings[-2:]
    for finding in (placement, dispatch):
        assert list(finding.gpu_loads) == [finding.today, finding.best]
        today, best = finding.gpu_loads.values()
        assert today.shape == best.shape == (3, 4)
        np.testing.assert_allclose(today.mean(axis=1), 1)
        np.testing.assert_allclose(best.mean(axis=1), 1)
        assert best.max(axis=1).mean() < today.max(axis=1).mean()


def test_the_page_shows_gpu_loads_today_beside_the_best() -> None:
    page = page_html(audit(small_trace(), small_fleet(), options=FOUR, expert_loads=LOADS))
    for words in (
        "GPU load of the first layer over batches under contiguous, even split and shadowprice, optimal split",
        "GPU load of the first layer over batches under even and optimal",
        "Expert placement, on expert loads",
    ):
        assert words in page


def test_loads_that_do_not_fit_the_gpus_are_an_error() -> None:
    with pytest.raises(ExpertError):
        audit(small_trace(), small_fleet(), options=AuditOptions(experts=ExpertOptions(0, 4)), expert_loads=LOADS)
