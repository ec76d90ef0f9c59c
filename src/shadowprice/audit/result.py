"""What an audit gives: a finding per decision and load, printed as one table."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType

from shadowprice.audit.finding import Finding
from shadowprice.audit.options import AuditOptions
from shadowprice.audit.table import audit_table
from shadowprice.fleet.describe import describe as describe_fleet
from shadowprice.fleet.fleet import Fleet
from shadowprice.printed import Printed
from shadowprice.workload.statistics import describe as describe_trace
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class Audit(Printed):
    """What the decisions of a fleet cost on a trace, against what no policy can beat.

    Prints itself as the table of the command line.

    Parameters
    ----------
    trace : Trace
        As it was given, without the dropped requests.
    fleet : Fleet
        What served it.
    stable_rate_per_s : float
        Requests per second that the whole fleet can serve for ever.
    findings : tuple of Finding
        One per load and decision, then those on expert loads; each holds its certificates.
    dropped_oversized : int
        Requests left out because they are larger than a worker's KV memory.
    options : AuditOptions
        What was asked beside the loads.
    """

    trace: Trace
    fleet: Fleet
    stable_rate_per_s: float
    findings: tuple[Finding, ...]
    dropped_oversized: int = 0
    options: AuditOptions = field(default_factory=AuditOptions)

    @property
    def overloaded(self) -> bool:
        """Whether in some block more arrives than the fleet can serve for ever (load above 1)."""
        return any(finding.load is not None and finding.load > 1 for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """`trace`, `fleet`, `options` and `certificates` as plain JSON values (docs/audit.md has the schema)."""
        return {
            "trace": describe_trace(self.trace).to_json() | {"dropped_oversized": self.dropped_oversized},
            "fleet": describe_fleet(self.fleet) | {"stable_rate_per_s": self.stable_rate_per_s},
            "options": self.options.to_json(),
            "certificates": [c.to_json() for finding in self.findings for c in finding.certificates],
        }

    def __rich__(self) -> RenderableType:
        return audit_table(self.trace, self.fleet, self.stable_rate_per_s, self.findings)
