"""A batch, all of whose requests are there at once: when it is done on how many workers, and the fewest for a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.audit.words import number, percent, plural, seconds
from shadowprice.errors import TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.oversized import require_fit
from shadowprice.plan.measure import Policies, run
from shadowprice.plan.progress import Tell
from shadowprice.plan.search import least
from shadowprice.plan.sweep import sweep
from shadowprice.printed import Printed
from shadowprice.scheduling.makespan_bound import makespan_bound
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload.operations import shift
from shadowprice.workload.trace import Trace

MOST_SHOWN = 64  # workers, of the sizes that are tried without a time to keep
MOST_TIMES = 100  # workers beyond those that the bound asks for that are tried
WORTH_PROCESSES = 400_000  # requests times fleets to simulate: starting processes takes longer below


@dataclass(frozen=True)
class BatchAt:
    """The batch on so many workers: when it is done, and when it could be at the earliest, by any policy [s]."""

    workers: int
    makespan_s: float
    bound_s: float
    bound_method: str


@dataclass(frozen=True)
class BatchPlan(Printed):
    """When a batch is done on how many workers; prints itself.

    Parameters
    ----------
    trace : Trace
        The batch, from time 0.
    fleet : Fleet
        Whose kind of worker was asked about.
    policies : Policies
        How workers schedule and requests are routed.
    makespan_s : float or None
        The time to keep [s].
    workers : int or None
        The fewest that keep it in the simulation; None where none was found or asked for.
    at_least : int or None
        No fewer can keep it, whatever the policy; None without a time, or where no number can.
    impossible : str or None
        Why no number of workers keeps the time.
    at : tuple of BatchAt
        The sizes that were simulated.
    notes : tuple of str
        What the reader did with the trace.
    """

    trace: Trace
    fleet: Fleet
    policies: Policies
    makespan_s: float | None
    workers: int | None
    at_least: int | None
    impossible: str | None
    at: tuple[BatchAt, ...]
    notes: tuple[str, ...]

    @property
    def answered(self) -> bool:
        """Whether there is a size that keeps the time, where there is one to keep."""
        return self.makespan_s is None or self.workers is not None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (docs/capacity.md has the schema)."""
        n, tokens = len(self.trace), int(self.trace.output_tokens.sum())
        return {
            "trace": self.trace.name,
            "requests": n,
            "output_tokens": tokens,
            "fleet": self.fleet.name,
            "policies": str(self.policies),
            "makespan_s": self.makespan_s,
            "workers": self.workers,
            "workers_at_least": self.at_least,
            "impossible": self.impossible,
            "at": [
                {
                    "workers": at.workers,
                    "makespan_s": at.makespan_s,
                    "bound_s": at.bound_s,
                    "requests_per_s": n / at.makespan_s,
                    "output_tokens_per_s": tokens / at.makespan_s,
                }
                for at in self.at
            ],
            "notes": list(self.notes),
        }

    def __rich__(self) -> RenderableType:
        n, tokens = len(self.trace), int(self.trace.output_tokens.sum())
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in ("workers", "done after", "no policy before", "above it", "requests/s", "output tokens/s"):
            table.add_column(name, justify="right", no_wrap=True)
        for at in self.at:
            table.add_row(
                f"{at.workers:,}",
                seconds(at.makespan_s),
                seconds(at.bound_s),
                percent(at.makespan_s / at.bound_s - 1),
                number(n / at.makespan_s),
                number(tokens / at.makespan_s),
                style="bold" if at.workers == self.workers else "",
            )
        prompt = int(self.trace.prompt_tokens.sum())
        head = f"batch  {self.trace.name}: {plural(n, 'request')}, {prompt:,} prompt and {tokens:,} output tokens"
        return Group(
            Text(head),
            Text(f"fleet  {self.fleet.name}; {self.policies}"),
            *(Text(f"-> {line}", style="bold") for line in self._answer()),
            table,
            *(Text(f"note   {note}", style="dim") for note in self.notes),
        )

    def _answer(self) -> list[str]:
        if self.makespan_s is None:
            return []
        if self.impossible is not None:
            return [self.impossible]
        within = f"within {seconds(self.makespan_s)}"
        if self.workers is None:
            return [f"no number of workers was found to be done {within}; no fewer than {self.at_least} can"]
        fewest = "no fewer" if self.workers == self.at_least else f"no policy on fewer than {self.at_least}"
        return [f"{plural(self.workers, 'worker')} are done {within}, {fewest}"]


def plan_batch(
    trace: Trace,
    fleet: Fleet,
    makespan_s: float | None = None,
    *,
    policies: Policies | None = None,
    jobs: int = -1,
    backend: str = "loky",
    tell: Tell = lambda text: None,
) -> BatchPlan:
    """Find when a batch is done on how many workers of the fleet's kind, and the fewest that keep a time.

    Parameters
    ----------
    trace : Trace
        Requests that are all there at once.
    fleet : Fleet
        Whose kind of worker is asked about; its number of workers is among the sizes that are tried.
    makespan_s : float, optional
        The time until the last request is to be finished [s].
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
    BatchPlan
        Makespan and throughput by number of workers, each with the bound that no policy can beat.

    Raises
    ------
    TraceError
        For no requests, arrivals over some time, or a time that is not positive.
    InfeasibleError
        For requests larger than a worker.

    References
    ----------
    `scheduling/makespan_bound.py` has the bound and its proof.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> batch = sp.Trace(np.zeros(200), np.full(200, 500), np.full(200, 100))
    >>> found = sp.plan_batch(batch, sp.read_fleet("llama-3.1-8b-h100"))
    >>> all(at.makespan_s >= at.bound_s for at in found.at)
    True
    """
    if len(trace) == 0 or trace.span_s > 0:
        raise TraceError(f"{trace.name}: {len(trace)} requests; expected some that all arrive at one moment")
    if makespan_s is not None and not 0 < makespan_s < float("inf"):
        raise TraceError(f"the time to keep is {makespan_s:g} s; expected a positive number")
    require_fit(trace, fleet.worker, fleet.name)
    trace, policies = shift(trace, -float(trace.arrival_s[0])), policies or Policies(fcfs())
    seen: dict[int, BatchAt] = {}
    one = partial(_at, trace, fleet, policies)

    def look(sizes: Sequence[int]) -> list[BatchAt]:
        new = [size for size in sizes if size not in seen]
        if new:
            tell(f"simulating {', '.join(str(size) for size in new)} workers")
        small = len(trace) * len(new) < WORTH_PROCESSES
        seen.update(zip(new, sweep(one, new, jobs=jobs, backend=backend, small=small), strict=True))
        return [seen[size] for size in sizes]

    workers = at_least = impossible = None
    if makespan_s is None:
        look(sorted({min(size, len(trace)) for size in (*_doubling(len(trace)), fleet.workers)}))
    else:
        alone = makespan_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, len(trace))
        if alone.seconds > makespan_s:
            impossible = f"no number of workers can be done within {seconds(makespan_s)}: {alone.method} takes longer"
            look([1])
        else:
            at_least = _least_by_bound(trace, fleet, makespan_s)
            most = min(len(trace), at_least * MOST_TIMES)
            workers = least(lambda sizes: [at.makespan_s <= makespan_s for at in look(sizes)], at_least, most)
            size = workers or at_least
            look(sorted({max(size - 1, 1), size, size + 1}))
    at = tuple(seen[size] for size in sorted(seen))
    return BatchPlan(trace, fleet, policies, makespan_s, workers, at_least, impossible, at, trace.notes)


def _doubling(requests: int) -> list[int]:
    sizes = [1]
    while sizes[-1] * 2 <= min(MOST_SHOWN, requests):
        sizes.append(sizes[-1] * 2)
    return sizes


def _least_by_bound(trace: Trace, fleet: Fleet, makespan_s: float) -> int:
    """The fewest workers whose bound lets the time be kept; the bound falls with their number."""
    low, high = 0, len(trace)
    while high - low > 1:
        middle = (low + high) // 2
        found = makespan_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, middle)
        low, high = (low, middle) if found.seconds <= makespan_s else (middle, high)
    return high


def _at(trace: Trace, fleet: Fleet, policies: Policies, workers: int) -> BatchAt:
    served = run(trace, replace(fleet, workers=workers), workers, policies)
    bound = makespan_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, workers)
    made_s = float((trace.arrival_s + served.e2e_s).max())
    if bound.seconds > made_s * (1 + 1e-9):
        raise RuntimeError(
            f"{trace.name}: {workers} workers are done after {made_s} s, before the bound of {bound.seconds} s: the "
            "bound or the simulator is wrong; please report this with the trace"
        )
    return BatchAt(workers, made_s, bound.seconds, bound.method)
