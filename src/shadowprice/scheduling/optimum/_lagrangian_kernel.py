"""The relaxed hindsight program under given prices: every request picks its cheapest start alone."""

import numpy as np
import numpy.typing as npt
from numba import njit

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@njit(cache=True)
def price_sums(price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Prefix sums over rounds of price[r, t] and of t * price[r, t], float64 [families, rounds + 1]."""
    families, rounds = price.shape[0], price.shape[1] - 1
    plain = np.zeros((families, rounds + 1))
    timed = np.zeros((families, rounds + 1))
    for r in range(families):
        for t in range(1, rounds + 1):
            plain[r, t] = plain[r, t - 1] + price[r, t]
            timed[r, t] = timed[r, t - 1] + t * price[r, t]
    return plain, timed


@njit(cache=True, inline="always")
def start_cost(
    i: int,
    k: int,
    rounds: int,
    base: IntArray,
    slope: IntArray,
    length: IntArray,
    plain: FloatArray,
    timed: FloatArray,
) -> float:
    """k plus the priced use of all families when request i starts at round k; rounds beyond the last are free."""
    cost = float(k)
    for r in range(base.shape[0]):
        last = min(k + length[r, i], rounds)
        if last > k:
            paid = plain[r, last] - plain[r, k]
            cost += base[r, i] * paid
            if slope[r] != 0:
                cost += slope[r] * (timed[r, last] - timed[r, k] - k * paid)
    return cost


@njit(cache=True)
def cheapest_starts(
    arrival: IntArray,
    base: IntArray,
    slope: IntArray,
    length: IntArray,
    price: FloatArray,
    starts: IntArray,
    costs: FloatArray,
    used: FloatArray,
) -> None:
    """Fill starts and costs [n] with each request's cheapest start in arrival..rounds and what it costs (see
    start_cost), and used [families, rounds + 1] with the rows' use by these starts.

    price: float64 [families, rounds + 1], index 0 unused.
    """
    families, rounds = price.shape[0], price.shape[1] - 1
    plain, timed = price_sums(price)
    used[:] = 0.0
    for i in range(len(arrival)):
        best, best_k = np.inf, 0
        for k in range(arrival[i], rounds + 1):
            cost = start_cost(i, k, rounds, base, slope, length, plain, timed)
            if cost < best:
                best, best_k = cost, k
        starts[i], costs[i] = best_k, best
        for r in range(families):
            for t in range(best_k + 1, min(best_k + length[r, i], rounds) + 1):
                used[r, t] += base[r, i] + slope[r] * (t - best_k)


@njit(cache=True)
def all_start_costs(
    arrival: IntArray, base: IntArray, slope: IntArray, length: IntArray, price: FloatArray, i: int
) -> FloatArray:
    """start_cost of request i for every start arrival[i]..rounds."""
    rounds = price.shape[1] - 1
    plain, timed = price_sums(price)
    costs = np.empty(rounds + 1 - arrival[i])
    for k in range(arrival[i], rounds + 1):
        costs[k - arrival[i]] = start_cost(i, k, rounds, base, slope, length, plain, timed)
    return costs
