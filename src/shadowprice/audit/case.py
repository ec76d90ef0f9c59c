"""One question to certify: this trace, on this fleet, at this load."""

import math
from dataclasses import dataclass, field

from shadowprice.audit.options import AuditOptions
from shadowprice.errors import TraceError
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import require_fit
from shadowprice.fleet.work import stable_rate_per_s, work
from shadowprice.workload.operations import scale_rate, shift
from shadowprice.workload.trace import Trace

LEAST_LOAD, MOST_LOAD = 0.001, 1000.0  # beyond these the arrivals' distances leave float64's resolution of a step


@dataclass(frozen=True)
class Case:
    """What a decision is certified on: the trace as it arrives (from time 0), the fleet, and the load that this means.

    load: arrival rate as a fraction of the fleet's stable rate, None where the trace has no rate (one request, or all
    at once). expert_loads: tokens of the experts of an MoE model, None where nothing is known of them. last: whether
    this is the audit's last load; what does not depend on the load is certified there.
    """

    trace: Trace
    fleet: Fleet
    load: float | None
    options: AuditOptions = field(default_factory=AuditOptions)
    expert_loads: ExpertLoads | Routing | None = None
    last: bool = True


def fleet_rate_per_s(trace: Trace, fleet: Fleet) -> float:
    """Arrivals per second beyond which no policy keeps the fleet's queue bounded, for requests like the trace's."""
    return fleet.workers * stable_rate_per_s(work(trace.prompt_tokens, trace.output_tokens, fleet.worker))


def make_case(trace: Trace, fleet: Fleet, load: float | None = None, options: AuditOptions = AuditOptions()) -> Case:
    """The trace as it runs, or with its arrivals rescaled to `load`, on the fleet.

    Raises TraceError for an empty trace, a load outside [0.001, 1000], or a trace without a rate that could be scaled;
    InfeasibleError when a request is larger than a worker's KV memory.
    """
    if len(trace) == 0:
        raise TraceError(f"{trace.name}: no requests; expected at least one")
    if load is not None and not LEAST_LOAD <= load <= MOST_LOAD:
        raise TraceError(f"the load is {load:g}; expected a number from {LEAST_LOAD:g} to {MOST_LOAD:g}")
    require_fit(trace, fleet.worker, fleet.name)
    trace = shift(trace, -float(trace.arrival_s[0]))
    rate = trace.rate_per_s
    has_rate = 0 < rate < math.inf
    stable = fleet_rate_per_s(trace, fleet)
    if load is None:
        return Case(trace, fleet, rate / stable if has_rate else None, options)
    if not has_rate:
        raise TraceError(f"{trace.name}: {len(trace)} requests at one moment have no rate to scale; leave out the load")
    return Case(scale_rate(trace, load * stable / rate), fleet, load, options)
