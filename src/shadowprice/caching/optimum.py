"""What could be saved at most, with every request known: a flow program, a cheaper bound, and a plan replayed."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.caching import _leaf_kernel as leaf
from shadowprice.caching._interval_kernel import reuse_intervals
from shadowprice.caching.policies import Run, blank, made
from shadowprice.caching.problem import Accesses
from shadowprice.errors import ShadowpriceError
from shadowprice.optimize.linear import LinearProgram, solve


class Intervals(NamedTuple):
    """Runs of items that may be kept from one request to another, arrays of one length but for `begins`.

    since, until: requests; size; saves_s: seconds saved where the run is kept whole. begins: for each position of the
    chains the run that begins there, -1 for none.
    """

    since: IntArray
    until: IntArray
    size: IntArray
    saves_s: FloatArray
    begins: IntArray


@dataclass(frozen=True)
class Hindsight:
    """Between what lies the best that any cache could save [s]: found_s, reached by a plan that was replayed, bound_s.

    price_s: float64 [n], the seconds that one more unit of size would save between request t and the next (dual).
    """

    bound_s: float
    found_s: float
    found: Run
    price_s: FloatArray


def intervals_of(accesses: Accesses) -> Intervals:
    """The runs between two uses.

    Items of one chain that were last used by the same request, each costing no less per unit of size than the one
    above it, are one run: a closed set keeps a top part of it, which saves at most its share of the run's size times
    what the run saves. So a program that keeps shares of runs has at least the value of every closed set.
    """
    chain = accesses.chain
    return Intervals(*reuse_intervals(chain.offsets, chain.values, accesses.parent, accesses.size, accesses.cost_s))


def hindsight(accesses: Accesses, capacity: int) -> Hindsight:
    """The flow bound on what any policy saves, and a clairvoyant plan rounded from it.

    capacity: in units of size. Program: keep a share y of each run between its two uses; after each request what is
    kept has at most the capacity. As capacity flows from each request to the next, by itself or inside a run, this is
    a flow of least cost (FOO, SIGMETRICS 2018). It relaxes the program of `Accesses`: the rule that a child needs its
    parent is dropped, shares are allowed; so no policy saves more. It is exact, the optimum itself, for chains of one
    of equal size: then the matrix is a network's, and whole shares are best.

    The plan replays the trace and evicts, of the leaves, first those that the flow does not keep (the furthest next
    use first), then the kept ones. Raises ShadowpriceError when the solver fails.
    """
    runs = intervals_of(accesses)
    n = len(accesses)
    if len(runs.since) == 0 or capacity <= 0:
        found = _replay(accesses, runs, np.zeros(len(runs.since)), max(capacity, 0))
        return Hindsight(0.0, found.saved_total_s, found, np.zeros(n))
    times = np.unique(np.concatenate([runs.since, runs.until]))
    mean_s, mean_size = float(runs.saves_s.mean()) or 1.0, float(runs.size.mean())  # the solver's units
    solution = solve(_flow(runs, times, capacity, mean_s, mean_size))
    if solution.status != "optimal":
        raise ShadowpriceError(f"the flow program of the cache ended as {solution.status}; expected an optimum")
    found = _replay(accesses, runs, solution.x[: len(runs.since)] * mean_size / runs.size, capacity)
    price_s = np.zeros(n)
    fall = np.maximum(np.diff(solution.row_dual), 0.0) * mean_s / mean_size
    price_s[times[0] : times[-1]] = np.repeat(fall / np.diff(times), np.diff(times))
    return Hindsight(priced_bound(runs, capacity, price_s), found.saved_total_s, found, price_s)


def priced_bound(runs: Intervals, capacity: int, price_s: FloatArray) -> float:
    """A bound on what any policy saves [s], at any prices >= 0 per unit of size after each request, float64 [n].

    sum over runs of max(0, saves - size x the prices between its uses) + capacity x the sum of prices: the flow
    program with its capacity rows priced (weak duality), so that a solver's tolerance is not the bound's.
    """
    paid = np.concatenate([[0.0], np.cumsum(price_s)])
    rent_s = runs.size * (paid[runs.until] - paid[runs.since])
    return float(np.maximum(runs.saves_s - rent_s, 0.0).sum() + capacity * paid[-1])


def _flow(runs: Intervals, times: IntArray, capacity: int, mean_s: float, mean_size: float) -> LinearProgram:
    """Rows: requests at which a run begins or ends. Columns: the runs, then what passes from each row to the next.

    Seconds are counted in mean_s, sizes in mean_size.
    """
    begin, end = np.searchsorted(times, runs.since), np.searchsorted(times, runs.until)
    rows, columns = len(times), len(begin) + len(times) - 1
    supply = np.zeros(rows)
    supply[0], supply[-1] = capacity / mean_size, -capacity / mean_size
    source = np.concatenate([begin, np.arange(rows - 1)])
    target = np.concatenate([end, np.arange(1, rows)])
    return LinearProgram(
        cost=np.concatenate([-(runs.saves_s / mean_s) / (runs.size / mean_size), np.zeros(rows - 1)]),
        upper=np.concatenate([runs.size, np.full(rows - 1, capacity)]) / mean_size,
        row_lower=supply,
        row_upper=supply,
        start=np.arange(0, 2 * columns + 1, 2),
        index=np.stack([source, target], axis=1).ravel(),
        value=np.tile([1.0, -1.0], columns),
    )


def space_time_bound(accesses: Accesses, capacity: int) -> float:
    """A bound on what any policy saves [s] in O(n log n): all of space and time is one budget (PFOO-L).

    Of every run a share is kept that takes size x requests between its uses; together at most capacity x requests. The
    flow program with its rows added up, so never below it; best first, the last one in part.
    """
    runs = intervals_of(accesses)
    if len(runs.since) == 0:
        return 0.0
    room = (runs.until - runs.since) * runs.size
    order = np.argsort(-(runs.saves_s / room), kind="stable")
    budget = capacity * int(runs.until.max() - runs.since.min())
    before = np.cumsum(room[order]) - room[order]
    share = np.clip((budget - before) / room[order], 0.0, 1.0)
    return float((share * runs.saves_s[order]).sum())


def _replay(accesses: Accesses, runs: Intervals, share: FloatArray, capacity: int) -> Run:
    """A cache that knows the plan: unkept before kept, the furthest next use first."""
    chain, n = accesses.chain, len(accesses)
    again = runs.begins >= 0
    key = np.full(len(chain.values), -2.0 * n - 2)
    run = runs.begins[again]
    key[again] = np.where(share[run] >= 0.5, 0.0, -float(n)) - runs.until[run]
    filled = blank(accesses)
    leaf.evict_least_leaf(
        chain.offsets,
        chain.values,
        accesses.parent,
        accesses.size,
        accesses.cost_s,
        np.zeros(n, np.int64),
        key,
        capacity,
        leaf.PLAN,
        True,
        *filled,
    )
    return made(filled)
