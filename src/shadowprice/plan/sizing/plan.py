"""From a trace and a fleet to its size: stable, within its targets, with what would change that."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from shadowprice.audit.fleet_run import FleetRun
from shadowprice.capacity import Stability, prices, stability
from shadowprice.errors import TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import require_fit
from shadowprice.plan.bursts import Burst, behaviour, doubled, worst
from shadowprice.plan.measure import At, Policies, measure, run
from shadowprice.plan.progress import Tell
from shadowprice.plan.results import Plan
from shadowprice.plan.search import least
from shadowprice.plan.sweep import sweep
from shadowprice.plan.targets import Targets, impossible, too_short
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

WORTH_PROCESSES = 400_000  # requests times fleets to simulate: starting processes takes longer below
MANY_WORKERS = 1000  # kept busy: from here on a wrong unit of time is likelier
MOST_TIMES = 1000  # workers beyond the stable minimum that are tried


def plan(
    trace: Trace,
    fleet: Fleet,
    targets: Targets = Targets(),
    *,
    policies: Policies | None = None,
    jobs: int = -1,
    backend: str = "loky",
    tell: Tell = lambda text: None,
) -> Plan:
    """Find the least workers of the fleet's kind that serve the trace, stable and within the targets.

    All sizes see the same requests at the same times.

    Parameters
    ----------
    trace : Trace
        What arrives.
    fleet : Fleet
        Whose kind of worker is asked about; how many it has does not matter.
    targets : Targets
        Latency targets; none by default.
    policies : Policies, optional
        How workers schedule and requests are routed; by default first come first served, in turn.
    jobs : int
        Processes that simulate at once, -1 for all cores; small searches run in this process.
    backend : {"loky", "ray", "dask"}
        Where they run.
    tell : callable, optional
        Is told what is being done.

    Returns
    -------
    Plan
        The sizes, with what bursts would do to them.

    Raises
    ------
    TraceError
        For an empty trace or one without a rate.
    InfeasibleError
        For requests larger than a worker.

    References
    ----------
    docs/capacity.md has the stability condition and its proof.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=200)
    >>> sp.plan(trace, sp.read_fleet("llama-3.1-8b-h100")).workers_stable
    1
    """
    policies = policies or Policies(fcfs())
    trace = _from_zero(trace, fleet)
    found = stability(trace, fleet.worker)
    hopeless = impossible(trace, fleet.worker, targets)
    most = min(len(trace), found.least_workers * MOST_TIMES)
    seen: dict[int, At] = {}
    at = partial(_at, trace, fleet, targets, policies)
    look = partial(_look, seen, at, len(trace), partial(sweep, jobs=jobs, backend=backend), tell)
    slo = None
    if targets.any and hopeless is None:
        slo = least(lambda sizes: [at.meets for at in look(sizes)], found.least_workers, max(most, found.least_workers))
    size = (slo if targets.any else found.least_workers) or found.least_workers
    look(sorted({found.least_workers, max(size - 1, 1), size, size + 1}))
    burst, own = _bursts(trace, fleet, size, targets, policies) if hopeless is None else (None, None)
    return Plan(
        trace=trace,
        fleet=fleet,
        targets=targets,
        policies=policies,
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
            "arrivals over some time (of a batch, plan_batch says when it is done)"
        )
    require_fit(trace, fleet.worker, fleet.name)
    return shift(trace, -float(trace.arrival_s[0]))


def _look(
    seen: dict[int, At],
    at: Callable[[int], At],
    requests: int,
    simulate: Callable[..., list[At]],
    tell: Tell,
    sizes: Sequence[int],
) -> list[At]:
    """What fleets of these sizes do, each simulated once."""
    new = [size for size in sizes if size not in seen]
    if new:
        tell(f"simulating {', '.join(str(size) for size in new)} workers")
    seen.update(zip(new, simulate(at, new, small=requests * len(new) < WORTH_PROCESSES), strict=True))
    return [seen[size] for size in sizes]


def _at(trace: Trace, fleet: Fleet, targets: Targets, policies: Policies, workers: int) -> At:
    return measure(run(trace, fleet, workers, policies), trace, fleet, workers, targets)


def _bursts(trace: Trace, fleet: Fleet, workers: int, targets: Targets, policies: Policies) -> tuple[Burst, Burst]:
    served: FleetRun = run(trace, fleet, workers, policies)
    own = behaviour(served, trace, fleet, workers, targets, *worst(trace, fleet))
    twice, start_s, end_s = doubled(trace)
    return behaviour(run(twice, fleet, workers, policies), twice, fleet, workers, targets, start_s, end_s), own


def _notes(trace: Trace, fleet: Fleet, found: Stability) -> tuple[str, ...]:
    notes = list(trace.notes)
    if trace.cached_tokens is not None:
        notes.append("prefix-cache hits count in the stable rate; the simulations have no prefix cache: they err high")
    if found.load_per_worker is not None and found.load_per_worker > MANY_WORKERS:
        notes.append(
            f"{found.rate_per_s:,.0f} requests/s keep {found.load_per_worker:,.0f} workers busy: are the trace's times "
            "in another unit than seconds?"
        )
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
