"""What certifying one decision on one case gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowprice.audit.case import Case
from shadowprice.audit.served import Served
from shadowprice.certificate import Certificate


@dataclass(frozen=True)
class Finding:
    """One decision on one case: a certificate per policy, and what a page needs to show why.

    today: the policy that production runs by default; best: the one to run instead (may be the same). served: per
    policy what happened to each request, empty where a decision is certified without serving requests.
    """

    decision: str
    case: Case
    certificates: tuple[Certificate, ...]
    today: str
    best: str
    served: Mapping[str, Served] = field(default_factory=dict)

    def of(self, policy: str) -> Certificate:
        """The certificate of one policy."""
        return next(certificate for certificate in self.certificates if certificate.policy == policy)
