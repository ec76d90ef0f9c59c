"""How the fleet takes a burst: twice the rate for a while, and the trace's own worst minutes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.fleet_run import FleetRun
from shadowprice.capacity.stability import charges_s
from shadowprice.fleet.fleet import Fleet
from shadowprice.plan.measure import Measured, quantile
from shadowprice.plan.targets import Targets, tpot_of
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

BURST_S = 300.0  # five minutes
PATIENCE_S = 60.0  # the fleet has recovered when the requests of so many seconds are inside the targets again


@dataclass(frozen=True)
class Burst:
    """What the requests that arrive in [start_s, end_s) see; load: of the fleet, in that stretch.

    inside: share of them inside the targets, None where nobody arrives then. recovery_s: from the end until those who
    arrive are served inside the targets again (at the quantile, over a minute); 0 if they never were not, None if not
    before the trace ends.
    """

    start_s: float
    end_s: float
    load: float
    ttft_s: Measured
    tpot_s: Measured
    inside: float | None
    recovery_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "load": self.load,
            "ttft_p99_s": self.ttft_s.value,
            "tpot_p99_s": self.tpot_s.value,
            "inside_targets": self.inside,
            "recovery_s": self.recovery_s,
        }


def doubled(trace: Trace, factor: float = 2.0) -> tuple[Trace, float, float]:
    """The trace with `factor` times its rate for five minutes in its middle (less where it is short); start and end.

    The requests are the same and in the same order: those of a longer stretch arrive within the burst, and those after
    it come earlier by what was saved.
    """
    trace = shift(trace, -float(trace.arrival_s[0]))
    length_s = min(BURST_S, trace.span_s / (2 * factor))
    start_s = (trace.span_s - factor * length_s) / 2
    inside = np.clip(trace.arrival_s - start_s, 0.0, factor * length_s)
    arrival_s = np.maximum.accumulate(trace.arrival_s - inside * (1 - 1 / factor))
    return replace(trace, arrival_s=arrival_s), start_s, start_s + length_s


def worst(trace: Trace, fleet: Fleet, length_s: float = BURST_S) -> tuple[float, float]:
    """The stretch of so many seconds (of half the trace where it is short) in which most work arrives."""
    length_s = min(length_s, trace.span_s / 2)
    done = np.concatenate([[0.0], np.cumsum(charges_s(trace, fleet.worker))])
    until = np.searchsorted(trace.arrival_s, trace.arrival_s + length_s)
    first = int(np.argmax(done[until] - done[:-1]))
    return float(trace.arrival_s[first]), float(trace.arrival_s[first]) + length_s


def behaviour(
    served: FleetRun, trace: Trace, fleet: Fleet, workers: int, targets: Targets, start_s: float, end_s: float
) -> Burst:
    """What happened to the requests that arrived in the stretch, and until when they were the last to feel it."""
    rows = np.flatnonzero((trace.arrival_s >= start_s) & (trace.arrival_s < end_s))
    tpot_s = tpot_of(served, trace)
    met = targets.met_by(served.ttft_s, tpot_s)
    charge_s = charges_s(trace, fleet.worker)[rows]
    return Burst(
        start_s=start_s,
        end_s=end_s,
        load=float(charge_s.sum()) / (end_s - start_s) / workers,
        ttft_s=quantile(trace.arrival_s[rows], served.ttft_s[rows], targets.quantile),
        tpot_s=quantile(trace.arrival_s[rows], tpot_s[rows], targets.quantile),
        inside=float(met[rows].mean()) if len(rows) else None,
        recovery_s=_recovery_s(trace.arrival_s, met, targets.quantile, start_s, end_s) if targets.any else None,
    )


def _recovery_s(
    arrival_s: FloatArray, met: "np.ndarray[tuple[int], np.dtype[np.bool_]]", q: float, start_s: float, end_s: float
) -> float | None:
    """From end_s to the first minute whose requests are inside the targets again; None if the trace ends before."""
    late = np.concatenate([[0], np.cumsum(~met)])
    begin_s = np.concatenate([[start_s, end_s], arrival_s[np.searchsorted(arrival_s, end_s) :]])
    until_s = np.concatenate([[end_s], begin_s[1:] + PATIENCE_S])
    low, high = np.searchsorted(arrival_s, begin_s), np.searchsorted(arrival_s, until_s)
    quiet = (late[high] - late[low] <= (1 - q) * (high - low)) & (until_s <= max(arrival_s[-1], end_s))
    return float(max(begin_s[np.argmax(quiet)] - end_s, 0.0)) if quiet.any() else None
