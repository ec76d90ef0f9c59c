"""Prefill and decode together or apart: the goodput of the best of each on a trace, and the bound on both."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from shadowprice.disaggregation import Slo, best_split, estimate, goodput_bound, pool_rates
from shadowprice.errors import InfeasibleError, TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import require_fit
from shadowprice.plan.pools.options import PoolsOptions
from shadowprice.plan.progress import Tick
from shadowprice.plan.results import PoolsPlan
from shadowprice.plan.sweep import sweep
from shadowprice.scheduling.policies import fcfs
from shadowprice.scheduling.ranked import Ranked
from shadowprice.simulate.pools_study import Design, Outcome, PoolsSetting, chunks, goodput
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

MOST_REQUESTS = 20_000
WORTH_PROCESSES = 2_000_000  # requests to simulate in all; starting processes takes longer below
PREFILL_PARTS = (1, 1 / 2, 1 / 4, 1 / 8)  # chunk sizes tried on prefill workers
ENOUGH = 1000  # requests that the share within an SLO takes


def plan_pools(
    trace: Trace,
    fleet: Fleet,
    slo: Slo,
    options: PoolsOptions = PoolsOptions(),
    *,
    policy: Ranked | None = None,
    jobs: int = -1,
    backend: str = "loky",
    tick: Tick = lambda done, of: None,
) -> PoolsPlan:
    """Find the best chunk size together and the best split with its prefill chunk, by goodput under the SLO.

    All designs see the same requests in the same order, at any rate.

    Parameters
    ----------
    trace : Trace
        What arrives.
    fleet : Fleet
        Whose kind of worker is asked about.
    slo : Slo
        What counts as served well.
    options : PoolsOptions
        Workers, link and where the first token comes from.
    policy : Ranked, optional
        Order of the waiting; by default first come first served.
    jobs : int
        Processes that simulate at once, -1 for all cores; small comparisons run in this process.
    backend : {"loky", "ray", "dask"}
        Where they run.
    tick : callable, optional
        Is told how many designs are done, of how many.

    Returns
    -------
    PoolsPlan
        Every design at its goodput, and the bound.

    Raises
    ------
    TraceError
        For a trace without a rate.
    InfeasibleError
        For a fleet that cannot be split, or requests larger than a worker.
    FleetError
        For impossible numbers of workers or links.
    PolicyError
        For impossible limits.

    References
    ----------
    docs/disaggregation.md has the formulas and the bound.
    """
    setting, notes = make_setting(trace, fleet, options, policy or fcfs())
    workers = setting.workers
    problem = setting.problem(slo)
    rates = pool_rates(problem)
    bound = goodput_bound(problem)
    sizes, small = chunks(setting.worker), chunks(setting.worker, PREFILL_PARTS)
    first = [Design(0, size) for size in sizes] + [Design(x, small[0]) for x in range(1, workers)]
    most = len(first) + 3 * (len(small) - 1)
    if len(setting.trace) * most * 5 < WORTH_PROCESSES and backend == "loky":
        jobs = 1
    look = partial(sweep, partial(goodput, setting, slo), jobs=jobs, backend=backend)
    found = look(first, done=lambda done: tick(done, most))
    together, apart = found[: len(sizes)], found[len(sizes) :]
    apart += look(_nearby(apart, small, workers), done=lambda done: tick(len(first) + done, most))
    tick(most, most)
    return PoolsPlan(
        setting=setting,
        fleet=fleet,
        slo=slo,
        together=tuple(together),
        apart=tuple(apart),
        bound=bound,
        rates=rates,
        split=best_split(rates, workers),
        expected=estimate(problem),
        unjudged=_too_short(setting.trace),
        notes=(*trace.notes, *notes, *_crowded(setting, apart)),
    )


def make_setting(trace: Trace, fleet: Fleet, options: PoolsOptions, policy: Ranked) -> tuple[PoolsSetting, list[str]]:
    """The comparison's setting, checked, and what was left out of it."""
    if len(trace) < 2 or not 0 < trace.rate_per_s < math.inf:
        raise TraceError(f"{trace.name}: {len(trace)} requests have no rate; expected arrivals over some time")
    if options.workers < 2:
        raise InfeasibleError(f"{options.workers} worker cannot be split; expected 2 or more")
    require_fit(trace, fleet.worker)
    notes = []
    if len(trace) > MOST_REQUESTS:
        notes.append(f"of {len(trace):,} requests the first {MOST_REQUESTS:,} are compared on")
        trace = replace(trace.take(range(MOST_REQUESTS)), notes=())
    if trace.cached_tokens is not None:
        notes.append("prefix-cache hits are not counted, on either side")
    trace = replace(shift(trace, -float(trace.arrival_s[0])), cached_tokens=None)
    return PoolsSetting(trace, fleet.worker, options.workers, options.link, policy, options.first_token), notes


def _nearby(found: Sequence[Outcome], sizes: Sequence[int], workers: int) -> list[Design]:
    """The best split and its neighbours, with the other prefill chunks."""
    x = max(found, key=lambda outcome: outcome.rate_per_s).design.prefill_workers
    return [Design(near, size) for near in (x - 1, x, x + 1) if 1 <= near < workers for size in sizes[1:]]


def _too_short(trace: Trace) -> str | None:
    if len(trace) < ENOUGH:
        return f"too short to judge: {len(trace):,} requests; expected {ENOUGH:,} or more"
    return None


def _crowded(setting: PoolsSetting, apart: Sequence[Outcome]) -> list[str]:
    """A warning where the KV on its way would not have fitted into the prefill workers that made it."""
    best = max(apart, key=lambda outcome: outcome.rate_per_s)
    holds = best.design.prefill_workers * setting.worker.kv_blocks * setting.worker.block_size
    if (best.between_tokens or 0) <= holds:
        return []
    return [
        f"up to {best.between_tokens:,} KV tokens wait between the pools of the best split, more than its prefill "
        f"workers hold ({holds:,}): a real engine would stall there"
    ]
