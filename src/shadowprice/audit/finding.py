"""What certifying one decision gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowprice.arrays import FloatArray
from shadowprice.audit.case import Case
from shadowprice.audit.fleet_run import FleetRun
from shadowprice.certificate import Certificate


@dataclass(frozen=True)
class Finding:
    """One decision: a certificate per policy, and what a page needs to show why.

    case: trace, fleet and load; None where the decision is certified on other data. today: the policy that production
    runs by default; best: the one to run instead (may be the same). served: per policy what happened to each request,
    empty where a decision is certified without serving requests. gpu_loads: for expert decisions, per policy the load
    of each GPU over the mean one [batches, gpus]. beside: a policy that is worth a sentence of its own where it is
    neither today's nor the best.
    """

    decision: str
    case: Case | None
    certificates: tuple[Certificate, ...]
    today: str
    best: str
    served: Mapping[str, FleetRun] = field(default_factory=dict)
    gpu_loads: Mapping[str, FloatArray] = field(default_factory=dict)
    beside: str | None = None

    @property
    def load(self) -> float | None:
        """The case's load, None without a case or a rate."""
        return None if self.case is None else self.case.load

    @property
    def aside(self) -> Certificate | None:
        """The certificate of `beside`, where that is neither today's policy nor the best."""
        return None if self.beside in (None, self.today, self.best) else self.of(str(self.beside))

    def of(self, policy: str) -> Certificate:
        """The certificate of one policy."""
        return next(certificate for certificate in self.certificates if certificate.policy == policy)
