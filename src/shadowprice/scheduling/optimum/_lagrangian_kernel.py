"""The relaxed hindsight program under given prices: every request picks its cheapest start alone."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.kernels import njit


@njit(cache=True)
def price_sums(price: FloatArray, beyond: int) -> tuple[FloatArray, FloatArray]:
    """Prefix sums over rounds of price[r, t] and of t * price[r, t], with `beyond` free rounds after the last."""
    families, rounds = price.shape[0], price.shape[1] - 1
    plain = np.zeros((families, rounds + beyond + 1))
    timed = np.zeros((families, rounds + beyond + 1))
    for r in range(families):
        for t in range(1, rounds + beyond + 1):
            paid = price[r, t] if t <= rounds else 0.0
            plain[r, t] = plain[r, t - 1] + paid
            timed[r, t] = timed[r, t - 1] + t * paid
    return plain, timed


@njit(cache=True)
def start_costs(
    i: int,
    first: int,
    last: int,
    base: IntArray,
    slope: IntArray,
    length: IntArray,
    plain: FloatArray,
    timed: FloatArray,
    costs: FloatArray,
) -> None:
    """Fill costs[k] for k = first..last: k plus the priced use of all families when request i starts at round k."""
    for k in range(first, last + 1):
        costs[k] = k
    for r in range(base.shape[0]):
        span, flat = length[r, i], float(base[r, i])
        if slope[r] == 0:
            for k in range(first, last + 1):
                costs[k] += flat * (plain[r, k + span] - plain[r, k])
        else:
            steep = float(slope[r])
            for k in range(first, last + 1):
                paid = plain[r, k + span] - plain[r, k]
                costs[k] += (flat - steep * k) * paid + steep * (timed[r, k + span] - timed[r, k])


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
    start_costs), and used [families, rounds + 1] with the rows' use by these starts.

    price: float64 [families, rounds + 1], index 0 unused.
    """
    families, rounds = price.shape[0], price.shape[1] - 1
    plain, timed = price_sums(price, length.max())
    of_start = np.empty(rounds + 1)
    used[:] = 0.0
    for i in range(len(arrival)):
        start_costs(i, arrival[i], rounds, base, slope, length, plain, timed, of_start)
        best = arrival[i] + np.argmin(of_start[arrival[i] :])
        starts[i], costs[i] = best, of_start[best]
        for r in range(families):
            for t in range(best + 1, min(best + length[r, i], rounds) + 1):
                used[r, t] += base[r, i] + slope[r] * (t - best)


@njit(cache=True)
def all_start_costs(
    arrival: IntArray, base: IntArray, slope: IntArray, length: IntArray, price: FloatArray, i: int
) -> FloatArray:
    """start_costs of request i for every start arrival[i]..rounds."""
    rounds = price.shape[1] - 1
    plain, timed = price_sums(price, length.max())
    costs = np.empty(rounds + 1)
    start_costs(i, arrival[i], rounds, base, slope, length, plain, timed, costs)
    return costs[arrival[i] :]
