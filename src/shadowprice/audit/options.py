"""What is asked of an audit beside its trace, its fleet and its loads."""

from dataclasses import dataclass, field

from shadowprice.disaggregation.problem import Slo
from shadowprice.experts.options import ExpertOptions
from shadowprice.options import Options


@dataclass(frozen=True)
class AuditOptions(Options):
    """Parameters of the decisions that an audit certifies; round-trips TOML.

    Parameters
    ----------
    max_wait_s : float or None
        Bound on waiting [s] of the policies that have one; None: the longest wait under today's policy.
    slo : Slo or None
        Limits within which disaggregation is certified, once for all loads; None: it is not.
    drop_oversized : bool
        Leave out requests larger than a worker's KV memory, counted in the result, instead of raising.
    experts : ExpertOptions
        How expert loads, where there are any, are certified.
    """

    max_wait_s: float | None = None
    slo: Slo | None = None
    drop_oversized: bool = False
    experts: ExpertOptions = field(default_factory=ExpertOptions)
