"""What certifying one decision gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowprice.arrays import FloatArray
from shadowprice.audit.case import Case
from shadowprice.audit.served import Served
from shadowprice.certificate import Certificate


@dataclass(frozen=True)
class Finding:
    """One decision: a certificate per policy, and what a page needs to show why.

    case: trace, fleet and load; None where the decision is certified on other data. today: the policy that production
    runs by default; best: the one to run instead (may be the same). served: per policy what happened to each request,
    empty where a decision is certified without serving requests. gpu_loads: for expert decisions, per policy the load
    of each GPU over the mean one [batches, gpus].
    """

    decision: str
    case: Case | None
    certificates: tuple[Certificate, ...]
    today: str
    best: str
    served: Mapping[str, Served] = field(default_factory=dict)
    gpu_loads: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def load(self) -> float | None:
        """The case's load, None without a case or a rate."""
        return None if self.case is None else self.case.load

    @property
    def aside(self) -> Certificate | None:
        """The last row of scheduling bounds the wait: worth a sentence where it is neither today's nor the best."""
        last = self.certificates[-1]
        return last if self.decision == "scheduling" and last.policy not in (self.today, self.best) else None

    def of(self, policy: str) -> Certificate:
        """The certificate of one policy."""
        return next(certificate for certificate in self.certificates if certificate.policy == policy)
