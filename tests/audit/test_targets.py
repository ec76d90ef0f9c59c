"""What the project claims on a real trace: the Azure chat trace on Llama 3.1 8B on one H100, lengths known."""

from pathlib import Path

import pytest

from shadowprice.audit import Audit, audit
from shadowprice.fleet import read_fleet
from shadowprice.workload import read_trace

TRACE = Path(__file__).parents[3] / "shared" / "data" / "azure2023_conv.csv"
pytestmark = pytest.mark.skipif(not TRACE.exists(), reason="needs ../shared/data/azure2023_conv.csv")


@pytest.fixture(scope="module")
def result() -> Audit:
    return audit(read_trace(TRACE), read_fleet("llama-3.1-8b-h100"), [0.7, 0.9, 1.0, 1.2, 1.5, 2.0])


def _gap(result: Audit, load: float, policy: str) -> float:
    gap = next(finding.of(policy).gap for finding in result.findings if finding.case.load == load)
    assert gap is not None
    return gap


def test_at_the_stable_rate_priced_work_takes_at_most_half_of_fcfs(result: Audit) -> None:
    finding = next(finding for finding in result.findings if finding.case.load == 1.0)
    assert finding.of("priced_work").value <= 0.5 * finding.of("fcfs").value
    assert finding.best == "priced_work"


@pytest.mark.parametrize(("load", "most"), [(2.0, 0.15), (1.5, 0.22), (1.2, 0.40)])
def test_above_the_stable_rate_priced_work_is_near_the_bound(result: Audit, load: float, most: float) -> None:
    assert _gap(result, load, "priced_work") <= most


@pytest.mark.parametrize("load", [0.9, 1.0, 1.2, 1.5, 2.0])
def test_priced_work_is_the_best_listed_once_the_queue_matters(result: Audit, load: float) -> None:
    gaps = {policy: _gap(result, load, policy) for policy in ("priced_work", "shortest_output", "mc_sf", "fcfs")}
    assert min(gaps, key=lambda policy: gaps[policy]) == "priced_work"


def test_with_waits_no_longer_than_todays_half_of_the_latency_goes_at_the_stable_rate(result: Audit) -> None:
    """The longest wait may exceed the limit by what those ahead, late themselves, take to be admitted."""
    finding = next(finding for finding in result.findings if finding.case.load == 1.0)
    aged, today = finding.certificates[-1], finding.of("fcfs")
    assert aged.value <= 0.5 * today.value
    assert finding.served[aged.policy].wait_s.max() <= 1.1 * finding.served["fcfs"].wait_s.max()


def test_below_the_stable_rate_no_policy_listed_differs_by_much(result: Audit) -> None:
    finding = next(finding for finding in result.findings if finding.case.load == 0.7)
    values = [certificate.value for certificate in finding.certificates]
    assert max(values) <= 1.05 * min(values)
