"""The hindsight optimum of the round model as a certified interval: a proved bound and the best schedule found."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.scheduling.optimum.lagrangian import Prices, lagrangian_bound, surviving_starts
from shadowprice.scheduling.optimum.local_search import place, search
from shadowprice.scheduling.optimum.program import integer_optimum
from shadowprice.scheduling.optimum.rows import memory_and_lane_rows
from shadowprice.scheduling.optimum.volume import volume_bound
from shadowprice.scheduling.problem import RoundInstance

MOST_COLUMNS = 60_000  # beyond these HiGHS does not get past the first linear program in useful time


@dataclass(frozen=True)
class HindsightInterval:
    """bound <= optimum <= value, total latencies [rounds]; starts: the schedule of `value`, int64 [n].

    method: what proved the bound ("memory-time volume", "Lagrangian", "integer program"). prices: those of the
    Lagrangian; prices.price[0, t] is the shadow price of a KV token in round t.
    """

    bound: int
    value: int
    starts: IntArray
    method: str
    prices: Prices

    @property
    def optimal(self) -> bool:
        """Whether the schedule is proved optimal."""
        return self.bound == self.value


def hindsight_interval(
    instance: RoundInstance,
    rng: np.random.Generator,
    moves: int = 100_000,
    iterations: int = 1000,
    time_limit_s: float = 0.0,
    seeds: tuple[IntArray, ...] = (),
) -> HindsightInterval:
    """Search from above, bound from below, and give what is left to the integer program for time_limit_s seconds.

    seeds: known schedules (start rounds), never returned worse. The integer program has only the columns that a better
    schedule may use (`surviving_starts`) and the lane rows; it is skipped where more than MOST_COLUMNS remain.
    """
    starts = search(instance, rng, moves, seeds)
    prices = lagrangian_bound(instance, memory_and_lane_rows(instance), starts, iterations)
    by_price = place(instance, np.argsort(prices.mean_starts, kind="stable"))
    starts = search(instance, rng, moves, (starts, by_price))
    value, volume = instance.total_latency(starts), volume_bound(instance)
    bound, method = max((volume, "memory-time volume"), (prices.bound, "Lagrangian"))
    if bound < value and time_limit_s > 0:
        columns = surviving_starts(instance, prices, value)
        if len(np.unique(columns[0])) < len(instance):
            bound, method = value, "Lagrangian"  # some request has no start left in any better schedule
        elif len(columns[0]) <= MOST_COLUMNS:
            proved, found = _finish(instance, starts, prices, columns, time_limit_s)
            starts = min(starts, found, key=instance.total_latency)
            value = instance.total_latency(starts)
            bound, method = max((bound, method), (min(proved, value), "integer program"))
    return HindsightInterval(bound, value, starts, method, prices)


def _finish(
    instance: RoundInstance,
    starts: IntArray,
    prices: Prices,
    columns: tuple[IntArray, IntArray],
    time_limit_s: float,
) -> tuple[int, IntArray]:
    """A bound on every schedule that uses only `columns`, and the best schedule known."""
    answer = integer_optimum(instance, starts, time_limit_s, prices.rows, columns)
    value = instance.total_latency(starts)
    proved = value if answer.status == "infeasible" else max(prices.bound, ceil(max(answer.bound, 0.0) - 1e-6))
    return proved, starts if answer.starts is None else answer.starts
