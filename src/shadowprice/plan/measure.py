"""One simulation, measured: what a number of workers does to the trace, with intervals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.fleet_run import FleetRun, run_fleet
from shadowprice.capacity.interval import Interval, mean_interval, quantile_interval, ratio_interval, windows
from shadowprice.capacity.stability import charges_s
from shadowprice.errors import PolicyError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.names import did_you_mean
from shadowprice.plan.targets import Targets, tpot_of
from shadowprice.routing.policies import POLICIES, make
from shadowprice.scheduling.ranked import Ranked
from shadowprice.workload.trace import Trace

MILLION = 1e6


@dataclass(frozen=True)
class Measured:
    """A value and its 95 % interval by batch means; None where it is not known, or too short a trace to say how sure.

    An interval whose upper end is infinite says that the quantile is not bounded by so short a trace.
    """

    value: float | None
    interval: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """Value and interval as plain JSON values; an infinite end is None."""
        ends = None if self.interval is None else [x if np.isfinite(x) else None for x in self.interval]
        return {"value": self.value, "interval": ends}


@dataclass(frozen=True)
class At:
    """The trace on so many workers.

    load: share of the stable rate. ttft_s, tpot_s: at the targets' quantile. inside: share of requests inside both
    targets; goodput_per_s: such requests per second. cost_per_mtok: USD per million output tokens at this trace's
    rate, energy_j_per_token: per output token; both for the whole fleet. meets: whether the quantiles are within the
    targets and the fleet is stable.
    """

    workers: int
    load: float
    ttft_s: Measured
    tpot_s: Measured
    inside: Measured
    goodput_per_s: Measured
    cost_per_mtok: Measured
    energy_j_per_token: Measured
    meets: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "workers": self.workers,
            "load": self.load,
            "meets": self.meets,
            "ttft_p99_s": self.ttft_s.to_json(),
            "tpot_p99_s": self.tpot_s.to_json(),
            "inside_targets": self.inside.to_json(),
            "goodput_per_s": self.goodput_per_s.to_json(),
            "cost_per_mtok": self.cost_per_mtok.to_json(),
            "energy_j_per_token": self.energy_j_per_token.to_json(),
        }


@dataclass(frozen=True)
class Policies:
    """Who decides in the simulated fleets.

    Parameters
    ----------
    scheduling : Ranked
        The order inside each worker.
    routing : str
        Between workers: a name of `routing.POLICIES`.

    Raises
    ------
    PolicyError
        For a name that is not known.
    """

    scheduling: Ranked
    routing: str = "round_robin"

    def __post_init__(self) -> None:
        if self.routing not in POLICIES:
            raise PolicyError(f"unknown routing policy {self.routing!r}; {did_you_mean(self.routing, POLICIES)}")

    def __str__(self) -> str:
        return f"{self.scheduling.name}, routed {self.routing}"


def run(trace: Trace, fleet: Fleet, workers: int, policies: Policies) -> FleetRun:
    """Serve the trace on so many workers of the fleet's kind."""
    return run_fleet(trace, replace(fleet, workers=workers), policies.scheduling, make(policies.routing))


def measure(served: FleetRun, trace: Trace, fleet: Fleet, workers: int, targets: Targets) -> At:
    """What the run on so many workers gave."""
    tpot_s = tpot_of(served, trace)
    good = targets.met_by(served.ttft_s, tpot_s).astype(np.float64)
    ttft, tpot = (quantile(trace.arrival_s, values, targets.quantile) for values in (served.ttft_s, tpot_s))
    load = trace.rate_per_s * float(charges_s(trace, fleet.worker).mean()) / workers
    cut = windows(trace.arrival_s, good)
    goodput = Measured(float(good.sum()) / trace.span_s)
    inside = Measured(float(good.mean()))
    if cut is not None:
        goodput = replace(goodput, interval=mean_interval(cut.sums(good), cut.seconds))
        low, high = ratio_interval(cut.sums(good), cut.sums(np.ones(len(trace))))
        inside = replace(inside, interval=(low, min(high, 1.0)))
    return At(
        workers=workers,
        load=load,
        ttft_s=ttft,
        tpot_s=tpot,
        inside=inside,
        goodput_per_s=goodput,
        cost_per_mtok=_cost(trace, fleet, workers),
        energy_j_per_token=_energy(served, trace, fleet, workers),
        meets=load < 1 and _within(ttft, targets.ttft_s) and _within(tpot, targets.tpot_s),
    )


def quantile(arrival_s: FloatArray, values: FloatArray, q: float) -> Measured:
    """The quantile of one value per request, NaN left out."""
    known = ~np.isnan(values)
    if not known.any():
        return Measured(None)
    value = float(np.quantile(values[known], q))
    cut = windows(arrival_s, (values > value).astype(np.float64))
    return Measured(value, None if cut is None else quantile_interval(values, q, cut))


def _within(found: Measured, target_s: float | None) -> bool:
    return target_s is None or found.value is None or found.value <= target_s


def _cost(trace: Trace, fleet: Fleet, workers: int) -> Measured:
    """USD per million output tokens: what the GPUs cost per second over the tokens per second; None: no price."""
    if fleet.gpu is None or fleet.gpu.usd_per_hour is None:
        return Measured(None)
    usd_per_s = fleet.gpu.usd_per_hour * fleet.gpus_per_worker * workers / 3600
    tokens = trace.output_tokens.astype(np.float64)
    value = MILLION * usd_per_s * trace.span_s / float(tokens.sum())
    cut = windows(trace.arrival_s, tokens)
    if cut is None:
        return Measured(value)
    low, high = mean_interval(cut.sums(tokens), cut.seconds)
    return Measured(value, (MILLION * usd_per_s / high, MILLION * usd_per_s / low if low > 0 else np.inf))


def _energy(served: FleetRun, trace: Trace, fleet: Fleet, workers: int) -> Measured:
    """Energy per output token [J]: peak power during steps, idle power otherwise (0 where it is not known).

    The interval scales with that of charged work per token, since the run does not say which steps were whose.
    """
    idle_w, peak_w = fleet.worker_power_w
    if peak_w is None:
        return Measured(None)
    busy_s = sum(run.busy_s for run in served.runs)
    last_s = float((trace.arrival_s + served.e2e_s).max() - trace.arrival_s[0])
    idle_j = (idle_w or 0.0) * max(workers * last_s - busy_s, 0.0)
    tokens = trace.output_tokens.astype(np.float64)
    value = (peak_w * busy_s + idle_j) / float(tokens.sum())
    charge_s = charges_s(trace, fleet.worker)
    cut = windows(trace.arrival_s, charge_s)
    if cut is None:
        return Measured(value)
    scale = value * float(tokens.sum()) / float(charge_s.sum())
    low, high = ratio_interval(cut.sums(charge_s), cut.sums(tokens))
    return Measured(value, (scale * low, scale * high))
