"""From a trace and a fleet to certificates, decision by decision and load by load."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType

from shadowprice.audit.capacity import certify as certify_capacity
from shadowprice.audit.case import Case, fleet_rate_per_s, make_case
from shadowprice.audit.disaggregation import certify as certify_disaggregation
from shadowprice.audit.experts import Experts
from shadowprice.audit.experts import certify as certify_experts
from shadowprice.audit.finding import Finding
from shadowprice.audit.routing import certify as certify_routing
from shadowprice.audit.scheduling import certify as certify_scheduling
from shadowprice.audit.table import audit_table
from shadowprice.disaggregation.problem import Slo
from shadowprice.fleet.describe import describe as describe_fleet
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import drop_oversized
from shadowprice.printed import Printed
from shadowprice.workload.statistics import describe as describe_trace
from shadowprice.workload.trace import Trace

# What is certified, in this order; None where a case leaves nothing to decide.
DECISIONS: dict[str, Callable[[Case], Finding | None]] = {
    "routing": certify_routing,
    "scheduling": certify_scheduling,
    "capacity": certify_capacity,
    "disaggregation": certify_disaggregation,
}

Progress = Callable[[Sequence[tuple[str, Case]]], Iterable[tuple[str, Case]]]


@dataclass(frozen=True)
class Audit(Printed):
    """What the decisions of a fleet cost on a trace, against what no policy can beat.

    trace: as it was given, without the dropped requests. stable_rate_per_s: of the whole fleet. findings: one per load
    and decision, then those on expert loads. Prints itself as the table of the command line.
    """

    trace: Trace
    fleet: Fleet
    stable_rate_per_s: float
    findings: tuple[Finding, ...]
    dropped_oversized: int = 0

    @property
    def overloaded(self) -> bool:
        """Whether in some block more arrives than the fleet can serve for ever (load above 1)."""
        return any(finding.load is not None and finding.load > 1 for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """`trace`, `fleet` and `certificates` as plain JSON values (docs/audit.md has the schema)."""
        return {
            "trace": describe_trace(self.trace).to_json() | {"dropped_oversized": self.dropped_oversized},
            "fleet": describe_fleet(self.fleet) | {"stable_rate_per_s": self.stable_rate_per_s},
            "certificates": [c.to_json() for finding in self.findings for c in finding.certificates],
        }

    def __rich__(self) -> RenderableType:
        return audit_table(self.trace, self.fleet, self.stable_rate_per_s, self.findings)


def audit(
    trace: Trace,
    fleet: Fleet,
    loads: Sequence[float] | None = None,
    *,
    max_wait_s: float | None = None,
    slo: Slo | None = None,
    drop: bool = False,
    experts: Experts | None = None,
    progress: Progress = iter,
) -> Audit:
    """Certify every decision of DECISIONS on the trace as it runs, or at each of `loads`, fractions of the stable rate.

    max_wait_s: bound on waiting of the policies that have one (default: the longest wait under today's policy). slo:
    limits within which disaggregation is certified, once for all loads (default: none, then it is not). experts:
    certify placement and dispatch of these expert loads too. drop: leave out requests larger than a worker's KV memory,
    counted in the result, instead of raising. progress: wraps the list of (decision, case) as it is gone through, like
    `rich.progress.track`.
    Raises TraceError (no requests, impossible load), InfeasibleError (a request larger than a worker's memory) and
    ExpertError (loads and GPUs that do not fit).
    """
    dropped = 0
    if drop:
        trace, dropped = drop_oversized(trace, fleet.worker)
    cases = [make_case(trace, fleet, load, max_wait_s) for load in (loads if loads else (None,))]
    cases[0] = replace(cases[0], slo=slo)
    todo = [(decision, case) for case in cases for decision in DECISIONS]
    findings = (DECISIONS[decision](case) for decision, case in progress(todo))
    made = tuple(finding for finding in findings if finding is not None)
    if experts is not None:
        made += certify_experts(experts)
    return Audit(trace, fleet, fleet_rate_per_s(trace, fleet), made, dropped)
