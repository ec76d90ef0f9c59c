"""One question to certify: this trace, on this fleet, at this load."""

import math
from dataclasses import dataclass, replace

import numpy as np

from shadowprice.disaggregation.problem import Slo
from shadowprice.errors import InfeasibleError, TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.work import stable_rate_per_s, work
from shadowprice.workload.operations import scale_rate, shift
from shadowprice.workload.trace import Trace

LEAST_LOAD, MOST_LOAD = 0.001, 1000.0  # beyond these the arrivals' distances leave float64's resolution of a step


@dataclass(frozen=True)
class Case:
    """What a decision is certified on: the trace as it arrives (from time 0), the fleet, and the load that this means.

    load: arrival rate as a fraction of the fleet's stable rate, None where the trace has no rate (one request, or all
    at once). max_wait_s: bound on waiting [s] of the policy that has one; None lets the decision choose. slo: limits on
    latency, for decisions that are about them; None: there are none.
    """

    trace: Trace
    fleet: Fleet
    load: float | None
    max_wait_s: float | None = None
    slo: Slo | None = None


def fleet_rate_per_s(trace: Trace, fleet: Fleet) -> float:
    """Arrivals per second beyond which no policy keeps the fleet's queue bounded, for requests like the trace's."""
    return fleet.workers * stable_rate_per_s(work(trace.prompt_tokens, trace.output_tokens, fleet.worker))


def make_case(trace: Trace, fleet: Fleet, load: float | None = None, max_wait_s: float | None = None) -> Case:
    """The trace as it runs, or with its arrivals rescaled to `load`, on the fleet.

    Raises TraceError for an empty trace, a load outside [0.001, 1000], or a trace without a rate that could be scaled;
    InfeasibleError when a request is larger than a worker's KV memory.
    """
    if len(trace) == 0:
        raise TraceError(f"{trace.name}: no requests; expected at least one")
    if load is not None and not LEAST_LOAD <= load <= MOST_LOAD:
        raise TraceError(f"the load is {load:g}; expected a number from {LEAST_LOAD:g} to {MOST_LOAD:g}")
    _require_fit(trace, fleet)
    trace = shift(trace, -float(trace.arrival_s[0]))
    rate = trace.rate_per_s
    has_rate = 0 < rate < math.inf
    stable = fleet_rate_per_s(trace, fleet)
    if load is None:
        return Case(trace, fleet, rate / stable if has_rate else None, max_wait_s)
    if not has_rate:
        raise TraceError(f"{trace.name}: {len(trace)} requests at one moment have no rate to scale; leave out the load")
    return Case(scale_rate(trace, load * stable / rate), fleet, load, max_wait_s)


def oversized(trace: Trace, fleet: Fleet) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which requests need more KV tokens than a worker has: no engine of this fleet can ever finish them."""
    return trace.prompt_tokens + trace.output_tokens - 1 > fleet.worker.kv_blocks * fleet.worker.block_size


def drop_oversized(trace: Trace, fleet: Fleet) -> tuple[Trace, int]:
    """The trace without its oversized requests, and how many those are; a note in the trace says so."""
    out = oversized(trace, fleet)
    dropped = int(out.sum())
    if dropped == 0:
        return trace, 0
    note = (
        f"{dropped} of {len(trace)} requests dropped: larger than the {fleet.worker.kv_tokens:,} KV tokens of a worker"
    )
    kept = trace.take(np.flatnonzero(~out))
    return replace(kept, notes=(*trace.notes, note)), dropped


def _require_fit(trace: Trace, fleet: Fleet) -> None:
    out = np.flatnonzero(oversized(trace, fleet))
    if len(out):
        peak = trace.prompt_tokens[out] + trace.output_tokens[out] - 1
        raise InfeasibleError(
            f"{trace.name}: {len(out)} of {len(trace)} requests need more KV tokens than a worker of {fleet.name} has "
            f"({fleet.worker.kv_tokens:,}); the first is request {out[0]} ({peak[0]:,}), the largest needs "
            f"{peak.max():,}. Take a fleet with more KV memory, or leave them out with --drop-oversized"
        )
