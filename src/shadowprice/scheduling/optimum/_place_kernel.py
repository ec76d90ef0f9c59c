"""Schedules of the round model built one request at a time; and a search over the orders they are built in."""

import numpy as np
import numpy.typing as npt
from numba import njit

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@njit(cache=True)
def earliest_start(used: IntArray, prompt: int, output: int, memory: int, start: int) -> int:
    """First round k >= start at which the request fits over the tokens `used` in every round."""
    k = start
    j = output
    while j >= 1:
        slack = memory - used[k + j] - prompt
        if j > slack:  # round k + j is too full at age j: start so late that the age there is at most slack
            k = k + j - max(slack, 0)
            j = output
        else:
            j -= 1
    return k


@njit(cache=True)
def hold(used: IntArray, prompt: int, output: int, start: int, sign: int) -> None:
    """Add (sign 1) or take back (sign -1) the tokens of one request."""
    for j in range(1, output + 1):
        used[start + j] += sign * (prompt + j)


@njit(cache=True)
def place_in_order(
    order: IntArray,
    first: int,
    arrival: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    used: IntArray,
    starts: IntArray,
) -> int:
    """Place the requests order[first:] one after another, each as early as it fits; the sum of their finish rounds.

    used: int64 [max arrival + sum of outputs + 1], tokens held in each round by requests placed before; updated.
    starts: int64 [n]; updated.
    """
    total = 0
    for position in range(first, len(order)):
        i = order[position]
        k = earliest_start(used, prompt[i], output[i], memory, arrival[i])
        hold(used, prompt[i], output[i], k, 1)
        starts[i] = k
        total += k + output[i]
    return total


@njit(cache=True)
def anneal_orders(
    order: IntArray,
    arrival: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    draws: FloatArray,
    hot: float,
    cold: float,
) -> tuple[int, IntArray, IntArray]:
    """Best (sum of finish rounds, starts, order) met while swapping and moving requests in `order` at random.

    One move per row of draws, float64 [moves, 4] uniform in [0, 1): position, distance, kind, acceptance. A move that
    costs d rounds more is accepted with probability exp(-d / temperature); it falls geometrically from hot to cold.
    """
    n = len(order)
    used = np.zeros(arrival.max() + output.sum() + output.max() + 2, dtype=np.int64)
    starts = np.zeros(n, dtype=np.int64)
    current = place_in_order(order, 0, arrival, prompt, output, memory, used, starts)
    best, best_starts, best_order = current, starts.copy(), order.copy()
    old_order, old_starts = order.copy(), starts.copy()
    for move in range(len(draws)):
        p = int(draws[move, 0] * n)
        reach = 1 + int(draws[move, 1] ** 3 * (n - 1))  # mostly near, sometimes far
        q = p + reach if draws[move, 2] < 0.5 else p - reach
        if q < 0 or q >= n:
            continue
        first = min(p, q)
        if draws[move, 2] % 0.5 < 0.25:
            order[p], order[q] = order[q], order[p]
        else:
            taken = order[p]
            step = 1 if q > p else -1
            for position in range(p, q, step):
                order[position] = order[position + step]
            order[q] = taken
        finished = 0
        for position in range(first, n):
            i = old_order[position]
            hold(used, prompt[i], output[i], starts[i], -1)
            finished += starts[i] + output[i]
        value = current - finished + place_in_order(order, first, arrival, prompt, output, memory, used, starts)
        temperature = hot * (cold / hot) ** (move / len(draws))
        if value <= current or draws[move, 3] < np.exp((current - value) / temperature):
            current = value
            old_order[first:] = order[first:]
            for position in range(first, n):
                old_starts[order[position]] = starts[order[position]]
            if value < best:
                best, best_starts, best_order = value, starts.copy(), order.copy()
        else:
            for position in range(first, n):
                i = order[position]
                hold(used, prompt[i], output[i], starts[i], -1)
            order[first:] = old_order[first:]
            for position in range(first, n):
                i = order[position]
                starts[i] = old_starts[i]
                hold(used, prompt[i], output[i], starts[i], 1)
    return best, best_starts, best_order
