"""Workers per period against a reactive autoscaler, both within the targets, on the trace's own day."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.audit.words import number, percent, seconds
from shadowprice.capacity.policies import Reactive, planned
from shadowprice.capacity.stability import charges_s
from shadowprice.errors import TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.options import Options
from shadowprice.plan._deal_kernel import deal
from shadowprice.plan.progress import Tell
from shadowprice.plan.targets import Targets
from shadowprice.printed import Printed
from shadowprice.scheduling.surface import SchedulingPolicy
from shadowprice.simulate.engine import simulate
from shadowprice.workload.trace import Trace

TICK_S = 15.0  # between decisions of the reactive autoscaler (Kubernetes' default)
LOADS = np.round(np.linspace(1.2, 0.05, 24), 2)  # tried from the cheapest on; the first within the targets is taken
PEAK_S = 60.0  # a period is sized for its busiest minute


@dataclass(frozen=True)
class AutoscaleOptions(Options):
    """period_s: between changes of the planned fleet's size. delay_s: from asking for a worker until it serves.

    Raises TraceError for numbers without meaning.
    """

    period_s: float = 900.0
    delay_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.period_s < np.inf:
            raise TraceError(f"the period is {self.period_s:g} s; expected a number > 0")
        if not 0 <= self.delay_s < np.inf:
            raise TraceError(f"the provisioning delay is {self.delay_s:g} s; expected a number >= 0")


class _Schedule(NamedTuple):
    """Sizes through the trace, as in `Scaled`, and the worker that each request goes to."""

    setting: float
    change_s: FloatArray
    size: IntArray
    worker: IntArray


@dataclass(frozen=True)
class Scaled:
    """One way to size the fleet through the trace: `size[k]` workers serve from change_s[k] on.

    worker_hours: paid, from the start of provisioning until the last request of a worker that was let go is done.
    setting: target load, or the number of workers of a fixed fleet; None where no setting is within the targets.
    """

    name: str
    setting: float | None
    change_s: FloatArray
    size: IntArray
    worker_hours: float
    ttft_s: float | None
    tpot_s: float | None
    meets: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "setting": self.setting,
            "worker_hours": self.worker_hours,
            "ttft_p99_s": self.ttft_s,
            "tpot_p99_s": self.tpot_s,
            "meets": self.meets,
            "changes": [[float(t), int(n)] for t, n in zip(self.change_s, self.size, strict=True)],
        }


@dataclass(frozen=True)
class Autoscaled(Printed):
    """The cheapest within the targets of a fixed fleet, of reactive thresholds and of a plan by the period.

    bound_worker_hours: no way to size the fleet is stable with less, since a worker serves one second of charged work
    per second. The plan knows the work of each period beforehand: a perfect forecast, but not of single requests.
    """

    period_s: float
    delay_s: float
    bound_worker_hours: float
    fixed: Scaled
    reactive: Scaled
    planned: Scaled

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ways = {name: getattr(self, name).to_json() for name in ("fixed", "reactive", "planned")}
        head = {"period_s": self.period_s, "provisioning_delay_s": self.delay_s}
        return head | {"bound_worker_hours": self.bound_worker_hours} | ways

    def __rich__(self) -> RenderableType:
        head = (
            f"\nworkers over time, periods of {seconds(self.period_s)}, {seconds(self.delay_s)} to start one; no way "
            f"takes less than {number(self.bound_worker_hours)} worker-hours"
        )
        ways = (_line(way, self.fixed) for way in (self.fixed, self.reactive, self.planned))
        return Group(Text(head), *(Text(line) for line in ways))


def autoscale(
    trace: Trace,
    fleet: Fleet,
    targets: Targets,
    policy: SchedulingPolicy,
    options: AutoscaleOptions = AutoscaleOptions(),
    *,
    tell: Tell = lambda text: None,
) -> Autoscaled:
    """The cheapest settings within the targets of three ways to size the fleet; where none is, the last one tried.

    A request goes to the worker with the least charged work left among those that serve; a worker that is let go
    finishes what it has. Raises TraceError for a trace of less than four periods.
    """
    require_periods(trace, options)
    charge_s = charges_s(trace, fleet.worker)
    period_s, delay_s = options.period_s, options.delay_s

    def cheapest(name: str, tries: Iterator[_Schedule]) -> Scaled:
        for way in tries:
            tell(f"{name} at {way.setting:g}")
            ttft_s, tpot_s, finish_s = _serve(trace, fleet, policy, way.worker)
            ttft, tpot = targets.quantile_of(ttft_s), targets.quantile_of(tpot_s)
            paid_s = _paid_s(trace, way.change_s, way.size, way.worker, finish_s, delay_s)
            meets = targets.met_at(ttft, tpot)
            found = Scaled(name, way.setting, way.change_s, way.size, paid_s / 3600, ttft, tpot, meets)
            if found.meets:
                break
        return found

    return Autoscaled(
        period_s=period_s,
        delay_s=delay_s,
        bound_worker_hours=float(charge_s.sum()) / 3600,
        fixed=cheapest("fixed", _fixed(trace, charge_s)),
        reactive=cheapest("reactive", _reactive(trace, charge_s, delay_s)),
        planned=cheapest("planned", _planned(trace, charge_s, period_s)),
    )


def require_periods(trace: Trace, options: AutoscaleOptions) -> None:
    """Raise TraceError for a trace of less than four periods."""
    if trace.span_s < 4 * options.period_s:
        raise TraceError(
            f"{trace.name}: spans {trace.span_s:g} s; expected at least four periods of {options.period_s:g} s each"
        )


def _fixed(trace: Trace, charge_s: FloatArray) -> Iterator[_Schedule]:
    """One size for all of the trace, from what its busiest minute needs at each load."""
    busiest = _busiest(trace, charge_s, trace.span_s)
    for size in dict.fromkeys(int(planned(busiest, PEAK_S, load)[0]) for load in LOADS):
        change_s, sizes = np.zeros(1), np.array([size])
        yield _Schedule(size, change_s, sizes, _dealt(trace, charge_s, change_s, sizes))


def _planned(trace: Trace, charge_s: FloatArray, period_s: float) -> Iterator[_Schedule]:
    busiest = _busiest(trace, charge_s, period_s)
    change_s = np.arange(len(busiest), dtype=np.float64) * period_s
    for load in LOADS:
        size = planned(busiest, PEAK_S, load)
        yield _Schedule(float(load), change_s, size, _dealt(trace, charge_s, change_s, size))


def _reactive(trace: Trace, charge_s: FloatArray, delay_s: float) -> Iterator[_Schedule]:
    for load in LOADS[LOADS <= 1]:
        yield _Schedule(float(load), *_react(trace, charge_s, delay_s, Reactive(target=float(load))))


def _busiest(trace: Trace, charge_s: FloatArray, period_s: float) -> FloatArray:
    """Most work that arrives in a minute of each period [s]; minutes are cut from time 0."""
    minute = (trace.arrival_s / PEAK_S).astype(np.int64)
    per_minute = np.bincount(minute, weights=charge_s)
    period = (np.arange(len(per_minute)) * PEAK_S / period_s).astype(np.int64)
    busiest = np.zeros(period[-1] + 1)
    np.maximum.at(busiest, period, per_minute)
    return busiest


def _dealt(trace: Trace, charge_s: FloatArray, change_s: FloatArray, size: IntArray) -> IntArray:
    """Which worker each request goes to under a schedule of sizes."""
    worker = np.zeros(len(trace), np.int64)
    backlog_s, now_s = np.zeros(int(size.max())), 0.0
    edges = np.append(np.searchsorted(trace.arrival_s, change_s), len(trace))
    for k in range(len(size)):
        now_s = deal(trace.arrival_s, charge_s, edges[k], edges[k + 1], int(size[k]), backlog_s, now_s, worker)
    return worker


def _react(
    trace: Trace, charge_s: FloatArray, delay_s: float, scaler: Reactive
) -> tuple[FloatArray, IntArray, IntArray]:
    """Changes of size, the sizes, and which worker each request goes to, when decisions are taken tick by tick."""
    ticks = np.arange(0.0, trace.span_s + TICK_S, TICK_S)
    edges = np.searchsorted(trace.arrival_s, ticks)
    start = max(int(np.ceil(charge_s[: edges[1]].sum() / TICK_S / scaler.target)), 1)
    worker, serving, asked = np.zeros(len(trace), np.int64), start, start
    backlog_s, now_s = np.zeros(start), 0.0
    coming: list[tuple[float, int]] = []  # when which size will serve
    change_s, size = [0.0], [start]
    for k in range(len(ticks) - 1):
        for due in [n for t, n in coming if t <= ticks[k]]:
            serving = max(serving, min(due, asked))
        coming = [(t, n) for t, n in coming if t > ticks[k]]
        serving = min(serving, asked)
        if serving != size[-1]:
            change_s.append(float(ticks[k]))
            size.append(serving)
        if serving > len(backlog_s):
            backlog_s = np.append(backlog_s, np.zeros(serving - len(backlog_s)))
        before_s = _left_s(backlog_s, ticks[k] - now_s)
        now_s = deal(trace.arrival_s, charge_s, edges[k], edges[k + 1], serving, backlog_s, now_s, worker)
        left_s = _left_s(backlog_s, ticks[k + 1] - now_s)
        busy = (before_s + charge_s[edges[k] : edges[k + 1]].sum() - left_s) / TICK_S
        wanted = scaler.decide(float(ticks[k + 1]), asked, busy, left_s)
        if wanted > asked:
            coming.append((float(ticks[k + 1]) + delay_s, wanted))
        asked = wanted
    return np.array(change_s), np.array(size, np.int64), worker


def _left_s(backlog_s: FloatArray, after_s: float) -> float:
    """Work left in all after some more seconds."""
    return float(np.maximum(backlog_s - after_s, 0.0).sum())


def _serve(
    trace: Trace, fleet: Fleet, policy: SchedulingPolicy, worker: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Simulate every worker with the requests dealt to it: TTFT, TPOT and finish of each request [s]."""
    ttft_s, tpot_s, finish_s = (np.full(len(trace), np.nan) for _ in range(3))
    for g in range(int(worker.max()) + 1):
        rows = np.flatnonzero(worker == g)
        if len(rows):
            run = simulate(trace.take(rows), fleet.worker, policy)
            ttft_s[rows], tpot_s[rows], finish_s[rows] = run.ttft_s, run.tpot_s, run.finish_s
    return ttft_s, tpot_s, finish_s


def _paid_s(
    trace: Trace, change_s: FloatArray, size: IntArray, worker: IntArray, finish_s: FloatArray, delay_s: float
) -> float:
    """Seconds of workers paid for: start (but for those there at time 0), service, and finishing what they have."""
    end_s = float(trace.arrival_s[-1])
    edges_s = np.append(change_s, max(end_s, float(change_s[-1])))
    total_s = 0.0
    for g in range(int(size.max())):
        there = np.concatenate([[False], size > g, [False]])
        begins, ends = (np.flatnonzero(there[1:] & ~there[:-1]), np.flatnonzero(~there[1:] & there[:-1]))
        for begin, end in zip(begins, ends, strict=True):
            began_s, ended_s = float(edges_s[begin]), float(edges_s[min(int(end), len(edges_s) - 1)])
            mine = (worker == g) & (trace.arrival_s >= began_s) & (trace.arrival_s <= ended_s)
            done_s = max(float(finish_s[mine].max(initial=ended_s)), ended_s)
            total_s += done_s - began_s + (delay_s if began_s > 0 else 0.0)
    return total_s


def _line(way: Scaled, fixed: Scaled) -> str:
    less = 1 - way.worker_hours / fixed.worker_hours
    saved = "" if way is fixed else f", {percent(less)} less than fixed" if less >= 0 else f", {percent(-less)} more"
    missed = "" if way.meets else "; NOT within the targets at any setting tried"
    sizes = f"{way.size.min()} to {way.size.max()} workers" if way is not fixed else f"{way.size[0]} workers"
    return (
        f"  {way.name:<9}{number(way.worker_hours):>8} worker-hours ({sizes}){saved}; p99 TTFT {seconds(way.ttft_s)}, "
        f"TPOT {seconds(way.tpot_s)}{missed}"
    )
