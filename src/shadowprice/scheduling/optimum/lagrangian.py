"""The Lagrangian bound of the round model: one price per KV token and round."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.scheduling.optimum._lagrangian_kernel import all_start_costs, cheapest_starts
from shadowprice.scheduling.optimum.local_search import ranked_starts
from shadowprice.scheduling.optimum.rows import Rows
from shadowprice.scheduling.optimum.volume import earliest_finishes
from shadowprice.scheduling.problem import RoundInstance


@dataclass(frozen=True)
class Prices:
    """Prices of the rows in every round and the bound that they prove.

    price: float64 [families, rounds + 1], per unit of the row, index 0 unused; with `memory_rows` price[0, t] is the
    shadow price of one KV token in round t [rounds of total latency per token]. value: the Lagrangian's value
    [rounds]; bound: the whole number that it proves. costs: float64 [n], each request's cheapest priced start.
    starts: those starts; mean_starts: float64 [n], their average along the ascent, an order to search from.
    """

    rows: Rows
    price: FloatArray
    value: float
    bound: int
    costs: FloatArray
    starts: IntArray
    mean_starts: FloatArray


def evaluate(instance: RoundInstance, rows: Rows, price: FloatArray) -> Prices:
    """The bound at given prices (float64 [families, rounds + 1], >= 0, rounds >= every arrival); O(n * rounds).

    Proof. Take any schedule and let starts after `rounds` be moved to `rounds`: that makes no latency longer and leaves
    the use of every row in rounds 1..rounds as it was. So with u_r(i, k, t) for the use of row r,
        total latency >= sum_i (k_i + o_i - a_i) + sum_{r, t} price[r, t] * (sum_i u_r(i, k_i, t) - capacity[r])
    since the schedule keeps every row, and the right side is at least its minimum over k_i in arrival..rounds, taken
    for every request alone. That holds for every price >= 0 and every number of rounds. As latencies are whole
    numbers the bound is rounded up, after taking off what floating point may have added.
    """
    n = len(instance)
    starts, costs, used = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(price.shape)
    if n > 0:
        cheapest_starts(instance.arrival, rows.base, rows.slope, rows.length, price, starts, costs, used)
    fixed = float(np.sum(instance.output_tokens - instance.arrival))
    paid = float(np.sum(price[:, 1:].sum(axis=1) * rows.capacity))
    value = float(costs.sum()) + fixed - paid
    slack = 1e-9 * (float(np.abs(costs).sum()) + abs(fixed) + paid) + 1e-6
    return Prices(rows, price, value, ceil(value - slack), costs, starts, starts.astype(np.float64))


def lagrangian_bound(
    instance: RoundInstance, rows: Rows, schedule: IntArray | None = None, iterations: int = 1000
) -> Prices:
    """The best prices found by subgradient ascent, with the bound they prove (see `evaluate`); O(n * rounds) a step.

    schedule: start rounds of a good schedule (by default the better of MC-SF and smallest volume first); its value is
    the target of Polyak's step, its last finish the number of priced rounds. Each direction is the subgradient plus
    the last direction scaled to its length (the average direction strategy, Sherali and Ulular 1989); the step is cut
    after 20 iterations without progress. The best value equals the linear relaxation's over the same rows, for
    requests' starts are not tied to one another (integrality property: Geoffrion 1974).
    """
    if schedule is None:
        candidates = [ranked_starts(instance, key) for key in (instance.output_tokens, instance.volume)]
        schedule = min(candidates, key=instance.total_latency)
    best = _first_guess(instance, rows, schedule)
    if len(instance) == 0:
        return best
    price, mean = _ascend(instance, best, float(instance.total_latency(schedule)), iterations)
    improved = evaluate(instance, rows, price)
    chosen = improved if improved.value > best.value else best
    return Prices(rows, chosen.price, chosen.value, chosen.bound, chosen.costs, chosen.starts, mean)


def _first_guess(instance: RoundInstance, rows: Rows, schedule: IntArray) -> Prices:
    """The best of a few prices that hold where memory is fluid: delaying a round costs all who wait for it, over M.

    Who waits: the requests unfinished, or those of them that have arrived, in the schedule or in the volume bound.
    """
    finish = np.sort(schedule + instance.output_tokens)
    rounds = int(max(finish.max(initial=0), instance.arrival.max(initial=0)))
    at = np.arange(rounds + 1)
    price = np.zeros((len(rows.capacity), rounds + 1))
    best = evaluate(instance, rows, price)
    if len(instance) == 0:
        return best
    arrived = np.searchsorted(np.sort(instance.arrival), at)
    for done in (earliest_finishes(instance), finish):
        for present in (np.full(rounds + 1, len(instance)), arrived):
            for share in (0.6, 1.0):
                waiting = np.maximum(present - np.searchsorted(done, at, side="right"), 0)
                price = np.zeros((len(rows.capacity), rounds + 1))
                price[0, 1:] = share * waiting[1:] / instance.memory_tokens
                best = max(best, evaluate(instance, rows, price), key=lambda guess: guess.value)
    return best


def _ascend(instance: RoundInstance, first: Prices, target: float, iterations: int) -> tuple[FloatArray, FloatArray]:
    """Best prices and the mean starts after `iterations` steps from `first`."""
    rows, price = first.rows, first.price.copy()
    capacity = rows.capacity.astype(np.float64)[:, None]
    fixed = float(np.sum(instance.output_tokens - instance.arrival))
    starts, costs, used = first.starts.copy(), first.costs.copy(), np.zeros(price.shape)
    best_value, best_price = -np.inf, price.copy()
    direction, mean = np.zeros(price.shape), first.mean_starts.copy()
    step, stalled = 1.0, 0
    for _ in range(iterations):
        cheapest_starts(instance.arrival, rows.base, rows.slope, rows.length, price, starts, costs, used)
        mean += 0.05 * (starts - mean)
        value = float(costs.sum()) + fixed - float(np.sum(price * capacity))
        stalled = 0 if value > best_value + 1e-6 * abs(best_value) else stalled + 1
        if value > best_value:
            best_value, best_price = value, price.copy()
        if stalled >= 20:
            step, stalled = 0.7 * step, 0
        excess = used / capacity - 1.0  # in shares of capacity, so that families of any unit are stepped alike
        excess[:, 0] = 0.0
        length = float(np.linalg.norm(direction))
        direction = excess + (float(np.linalg.norm(excess)) / length if length > 0 else 0.0) * direction
        ahead = _upward(price, direction)
        if not ahead.any():
            direction, ahead = excess, _upward(price, excess)
        if not ahead.any() or step < 1e-5 or target - best_value < 1e-6 * max(target, 1.0):
            break
        price = np.maximum(price + step * (target - value) / float(np.sum(ahead * ahead)) * ahead / capacity, 0.0)
    return best_price, mean


def _upward(price: FloatArray, direction: FloatArray) -> FloatArray:
    """The direction without its parts that would push a price below 0."""
    return np.where((price <= 0) & (direction < 0), 0.0, direction)


def surviving_starts(instance: RoundInstance, prices: Prices, beat: int) -> tuple[IntArray, IntArray]:
    """Requests and start rounds, two int64 [columns], that a schedule of total latency below `beat` may use.

    If request i starts at k, the Lagrangian of `evaluate` is at least value - costs[i] + cost_i(k). Where that exceeds
    beat - 1 no such schedule starts i at k. After the last priced round cost_i(k) rises by 1 per round, which ends the
    list: a proved horizon for each request.
    """
    rows, requests, starts = prices.rows, [], []
    limit = beat - 1 - prices.value + 1e-6 * (1.0 + abs(prices.value))
    for i in range(len(instance)):
        costs = all_start_costs(instance.arrival, rows.base, rows.slope, rows.length, prices.price, i)
        spare = limit + prices.costs[i] - costs
        late = int(max(np.floor(spare[-1]), 0))
        kept = np.concatenate([np.flatnonzero(spare >= 0), len(costs) + np.arange(late)]) + instance.arrival[i]
        requests.append(np.full(len(kept), i, dtype=np.int64))
        starts.append(kept.astype(np.int64))
    return np.concatenate(requests), np.concatenate(starts)
