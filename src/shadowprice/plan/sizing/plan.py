"""From a trace and a fleet to its size: stable, within its targets, with what would change that."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from shadowprice.audit.served import Served
from shadowprice.capacity import Stability, prices, stability
from shadowprice.errors import TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import require_fit
from shadowprice.plan.bursts import Burst, behaviour, doubled, worst
from shadowprice.plan.measure import At, Rules, measure, run
from shadowprice.plan.results import Plan
from shadowprice.plan.search import least
from shadowprice.plan.sweep import sweep
from shadowprice.plan.targets import Targets, impossible, too_short
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

WORTH_PROCESSES = 400_000  # requests times fleets to simulate: starting processes takes longer below
MOST_TIMES = 1000  # workers beyond the stable minimum that are tried

Tell = Callable[[str], None]


def plan(
    trace: Trace,
    fleet: Fleet,
    targets: Targets = Targets(),
    *,
    rules: Rules | None = None,
    jobs: int = -1,
    backend: str = "loky",
    tell: Tell = lambda text: None,
) -> Plan:
    """The least workers of the fleet's kind that serve the trace, stable and within the targets.

    rules: how workers schedule and requests are routed (default: first come first served, in turn). All sizes see the
    same requests at the same times. jobs, backend: see `sweep`; small searches run in this process. tell: is told what
    is being done.
    Raises TraceError for an empty trace or one without a rate, InfeasibleError for requests larger than a worker.
    """
    rules = rules or Rules(fcfs())
    trace = _from_zero(trace, fleet)
    found = stability(trace, fleet.worker)
    hopeless = impossible(trace, fleet.worker, targets)
    most = min(len(trace), found.least_workers * MOST_TIMES)
    seen: dict[int, At] = {}
    look = partial(_look, seen, trace, fleet, targets, rules, jobs, backend, tell)
    slo = None
    if targets.any and hopeless is None:
        slo = least(lambda sizes: [at.meets for at in look(sizes)], found.least_workers, max(most, found.least_workers))
    size = (slo if targets.any else found.least_workers) or found.least_workers
    look(sorted({found.least_workers, max(size - 1, 1), size, size + 1}))
    burst, own = _bursts(trace, fleet, size, targets, rules) if hopeless is None else (None, None)
    return Plan(
        trace=trace,
        fleet=fleet,
        targets=targets,
        rules=rules,
        stability=found,
        workers_stable=found.least_workers,
        workers_slo=slo,
        at=tuple(seen[size] for size in sorted(seen)),
        prices=prices(trace, fleet),
        doubled=burst,
        worst=own,
        impossible=hopeless,
        unjudged=too_short(trace, fleet.worker, targets),
        notes=_notes(trace, fleet, found),
    )


def _from_zero(trace: Trace, fleet: Fleet) -> Trace:
    """The trace from time 0, checked: it has a rate, and every request fits into a worker."""
    if len(trace) < 2 or trace.span_s <= 0:
        raise TraceError(
            f"{trace.name}: {len(trace)} requests {'at one moment ' if len(trace) > 1 else ''}have no rate; expected "
            "arrivals over some time"
        )
    require_fit(trace, fleet.worker, fleet.name)
    return shift(trace, -float(trace.arrival_s[0]))


def _look(
    seen: dict[int, At],
    trace: Trace,
    fleet: Fleet,
    targets: Targets,
    rules: Rules,
    jobs: int,
    backend: str,
    tell: Tell,
    sizes: Sequence[int],
) -> list[At]:
    """What fleets of these sizes do, each simulated once."""
    new = [size for size in sizes if size not in seen]
    if new:
        tell(f"simulating {', '.join(str(size) for size in new)} workers")
    small = len(trace) * len(new) < WORTH_PROCESSES
    found = sweep(partial(_at, trace, fleet, targets, rules), new, jobs=jobs, backend=backend, small=small)
    seen.update(zip(new, found, strict=True))
    return [seen[size] for size in sizes]


def _at(trace: Trace, fleet: Fleet, targets: Targets, rules: Rules, workers: int) -> At:
    return measure(run(trace, fleet, workers, rules), trace, fleet, workers, targets)


def _bursts(trace: Trace, fleet: Fleet, workers: int, targets: Targets, rules: Rules) -> tuple[Burst, Burst]:
    served: Served = run(trace, fleet, workers, rules)
    own = behaviour(served, trace, fleet, workers, targets, *worst(trace, fleet))
    twice, start_s, end_s = doubled(trace)
    return behaviour(run(twice, fleet, workers, rules), twice, fleet, workers, targets, start_s, end_s), own


def _notes(trace: Trace, fleet: Fleet, found: Stability) -> tuple[str, ...]:
    notes = list(trace.notes)
    if trace.cached_tokens is not None:
        notes.append("prefix-cache hits count in the stable rate; the simulations have no prefix cache: they err high")
    idle_w, peak_w = fleet.worker_power_w
    if peak_w is not None:
        idle = "idle power is not known and counted as 0" if idle_w is None else f"{idle_w:g} W when idle"
        notes.append(f"energy: {peak_w:g} W per worker during steps (the most it may draw), {idle}")
    if found.cut is not None and found.cut.correlation > 0.2:
        notes.append("the rate swings as slowly as the trace is long: its intervals are too narrow")
    return tuple(notes)


def with_price(fleet: Fleet, usd_per_hour: float) -> Fleet:
    """The fleet at this price of a GPU; a fleet without GPU gets none. Raises TraceError where there is no GPU."""
    if fleet.gpu is None:
        raise TraceError(f"{fleet.name} names no GPU whose price could be set; expected [gpu] in the fleet file")
    return replace(fleet, gpu=replace(fleet.gpu, usd_per_hour=usd_per_hour))
