"""Workers of several kinds at least cost, first by the integer program, then simulated against the targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.audit.words import number, percent, plural, seconds
from shadowprice.capacity.mix import Mix, cheapest_mix
from shadowprice.capacity.stability import charges_s, stability
from shadowprice.errors import FleetError, TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import oversized
from shadowprice.plan._deal_kernel import deal
from shadowprice.plan.progress import Tell
from shadowprice.plan.search import least
from shadowprice.plan.targets import Targets
from shadowprice.printed import Printed
from shadowprice.scheduling.surface import SchedulingPolicy
from shadowprice.simulate.engine import simulate
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

ROOM = (1.4, 1.3, 1.2, 1.1, 1.0, 0.95, 0.9, 0.85, 0.8)  # times the load that a kind alone may have, the cheapest first
MOST_TIMES = 8  # workers beyond the stable minimum that are tried


@dataclass(frozen=True)
class Fleeted:
    """Workers of each kind with what they cost and how the trace fares on them; load: of the busiest kind.

    ttft_s, tpot_s: at the targets' quantile; None where no request has any, as no TPOT without a second token.
    """

    names: tuple[str, ...]
    workers: tuple[int, ...]
    usd_per_hour: float
    load: float
    ttft_s: float | None
    tpot_s: float | None
    meets: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "workers": dict(zip(self.names, self.workers, strict=True)),
            "usd_per_hour": self.usd_per_hour,
            "load": self.load,
            "ttft_p99_s": self.ttft_s,
            "tpot_p99_s": self.tpot_s,
            "meets": self.meets,
        }

    def __str__(self) -> str:
        parts = [f"{n} x {name}" for name, n in zip(self.names, self.workers, strict=True) if n]
        missed = "" if self.meets else "; NOT within the targets at any size tried"
        return (
            f"{' + '.join(parts)}: {number(self.usd_per_hour)} USD/h, p99 TTFT {seconds(self.ttft_s)}, TPOT "
            f"{seconds(self.tpot_s)}{missed}"
        )


@dataclass(frozen=True)
class Mixture(Printed):
    """The cheapest mix within the targets, the cheapest of each kind alone (None where it cannot hold the requests).

    bound_usd_per_hour: no fleet of these kinds is stable for less (`capacity/mix.py`).
    """

    trace: Trace
    targets: Targets
    mix: Fleeted
    alone: dict[str, Fleeted | None]
    bound_usd_per_hour: float

    @property
    def answered(self) -> bool:
        """Whether a mix within the targets was found."""
        return self.mix.meets

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "trace": self.trace.name,
            "targets": {"ttft_p99_s": self.targets.ttft_s, "tpot_p99_s": self.targets.tpot_s},
            "bound_usd_per_hour": self.bound_usd_per_hour,
            "mix": self.mix.to_json(),
            "alone": {name: None if found is None else found.to_json() for name, found in self.alone.items()},
        }

    def __rich__(self) -> RenderableType:
        within = [found.usd_per_hour for found in self.alone.values() if found is not None and found.meets]
        less = 1 - self.mix.usd_per_hour / min(within) if within else 0.0
        saved = f", {percent(less)} below the best single kind" if less > 0 else ", no mix is cheaper" if within else ""
        lines = [
            f"trace  {self.trace.name}: {plural(len(self.trace), 'request')}, {number(self.trace.rate_per_s)}/s",
            f"-> {self.mix}{saved}",
            f"   no fleet of these kinds is stable below {number(self.bound_usd_per_hour)} USD/h",
            *(f"   {found or f'{name} alone cannot hold the largest requests'}" for name, found in self.alone.items()),
        ]
        return Group(*(Text(line) for line in lines))


def plan_mixture(
    trace: Trace, fleets: Sequence[Fleet], targets: Targets, policy: SchedulingPolicy, *, tell: Tell = lambda text: None
) -> Mixture:
    """The cheapest workers of these fleets' kinds that serve the trace within the targets.

    Requests are dealt to the kinds by the program's shares, inside a kind to the worker with the least charged work
    left. Raises FleetError where a kind has no price or two have one name, TraceError for a trace without
    a rate, InfeasibleError where no kind can hold some request.
    """
    if len(trace) < 2 or trace.span_s <= 0:
        raise TraceError(
            f"{trace.name}: {plural(len(trace), 'request')} have no rate; expected arrivals over some time"
        )
    if len({fleet.name for fleet in fleets}) < len(fleets):
        raise FleetError("two of the fleets have one name; expected a name of its own for each")
    trace = shift(trace, -float(trace.arrival_s[0]))
    prices = [_price(fleet) for fleet in fleets]
    bound = cheapest_mix(trace, [fleet.worker for fleet in fleets], prices).bound
    alone = {
        fleet.name: _alone(trace, fleet, price, targets, policy, tell)
        for fleet, price in zip(fleets, prices, strict=True)
    }
    mix = _cheapest(trace, fleets, prices, alone, targets, policy, tell)
    return Mixture(trace, targets, mix, alone, bound)


def _alone(
    trace: Trace, fleet: Fleet, price: float, targets: Targets, policy: SchedulingPolicy, tell: Tell
) -> Fleeted | None:
    """The fewest workers of one kind within the targets; the most tried where none are; None if it cannot hold all."""
    if oversized(trace, fleet.worker).any():
        return None
    least_workers = stability(trace, fleet.worker).least_workers
    seen: dict[int, Fleeted] = {}

    def passes(sizes: Sequence[int]) -> list[bool]:
        for n in sizes:
            tell(f"simulating {n} x {fleet.name}")
            mix = Mix(np.array([n]), np.ones((len(trace), 1)), n * price, 0.0)
            seen[n] = _simulated(trace, [fleet], mix, targets, policy)
        return [seen[n].meets for n in sizes]

    found = least(passes, least_workers, least_workers * MOST_TIMES)
    return seen[max(seen) if found is None else found]


def _cheapest(
    trace: Trace,
    fleets: Sequence[Fleet],
    prices: Sequence[float],
    alone: dict[str, Fleeted | None],
    targets: Targets,
    policy: SchedulingPolicy,
    tell: Tell,
) -> Fleeted:
    """The cheapest within the targets of the single kinds and the program's mixes at ever smaller loads.

    A kind is loaded in proportion to what it bears alone within the targets; one that never is within them, not used.
    """
    tried = [found for found in alone.values() if found is not None]
    usable = [(fleet, price) for fleet, price in zip(fleets, prices, strict=True) if _bears(alone[fleet.name]) > 0]
    kinds, costs = [fleet for fleet, _ in usable], [price for _, price in usable]
    for room in ROOM if usable else ():
        loads = [min(room * _bears(alone[fleet.name]), 1.0) for fleet in kinds]
        mix = cheapest_mix(trace, [fleet.worker for fleet in kinds], costs, loads)
        within = [found.usd_per_hour for found in tried if found.meets]
        if mix.cost_per_hour >= min(within, default=np.inf):
            break
        tell(f"simulating {' + '.join(str(n) for n in mix.workers)} workers")
        tried.append(_simulated(trace, kinds, mix, targets, policy))
    return min(tried, key=lambda found: (not found.meets, found.usd_per_hour))


def _bears(found: Fleeted | None) -> float:
    """Load at which a kind alone is within the targets; 1 where that is not known, 0 where it never is."""
    return 1.0 if found is None else found.load * found.meets


def _simulated(trace: Trace, fleets: Sequence[Fleet], mix: Mix, targets: Targets, policy: SchedulingPolicy) -> Fleeted:
    kind = _kinds(mix.shares)
    ttft_s, tpot_s = (np.full(len(trace), np.nan) for _ in range(2))
    busy = [0.0]
    for t, fleet in enumerate(fleets):
        rows = np.flatnonzero(kind == t)
        part = trace.take(rows)
        if len(rows) == 0:
            continue
        charge_s = charges_s(part, fleet.worker)
        busy.append(float(charge_s.sum()) / trace.span_s / int(mix.workers[t]))
        worker = _dealt(part, charge_s, int(mix.workers[t]))
        for g in np.unique(worker):
            run = simulate(part.take(np.flatnonzero(worker == g)), fleet.worker, policy)
            ttft_s[rows[worker == g]], tpot_s[rows[worker == g]] = run.ttft_s, run.tpot_s
    ttft, tpot = targets.quantile_of(ttft_s), targets.quantile_of(tpot_s)
    names, workers = tuple(fleet.name for fleet in fleets), tuple(int(n) for n in mix.workers)
    return Fleeted(names, workers, mix.cost_per_hour, max(busy), ttft, tpot, targets.met_at(ttft, tpot))


def _kinds(shares: FloatArray) -> IntArray:
    """Kind of each request: those that have the same shares are dealt out evenly by them."""
    kind = np.zeros(len(shares), np.int64)
    groups, of = np.unique(shares.round(9), axis=0, return_inverse=True)
    for b, share in enumerate(groups):
        rows, used = np.flatnonzero(of == b), np.flatnonzero(share)
        turn = (np.arange(len(rows)) * 0.6180339887498949) % 1.0  # spreads evenly over [0, 1) from the first on
        kind[rows] = used[np.searchsorted(np.cumsum(share[used])[:-1], turn, side="right")]
    return kind


def _dealt(trace: Trace, charge_s: FloatArray, workers: int) -> IntArray:
    worker = np.zeros(len(trace), np.int64)
    deal(trace.arrival_s, charge_s, 0, len(trace), workers, np.zeros(workers), 0.0, worker)
    return worker


def _price(fleet: Fleet) -> float:
    if fleet.gpu is None or fleet.gpu.usd_per_hour is None:
        raise FleetError(
            f"{fleet.name}: the price of its GPU is not known; expected usd_per_hour under [gpu] in the fleet file, to "
            "mix kinds by cost"
        )
    return fleet.gpu.usd_per_hour * fleet.gpus_per_worker
