"""Schedules of the round model built one request at a time; and a search over the orders they are built in."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.kernels import njit


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
    release: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    used: IntArray,
    starts: IntArray,
) -> int:
    """Place the requests order[first:] one after another, each as early as it fits; the sum of their finish rounds.

    release: int64 [n], no start before it. used: int64, tokens held in each round by requests placed before, long
    enough for all to run one after another; updated. starts: int64 [n]; updated.
    """
    total = 0
    for position in range(first, len(order)):
        i = order[position]
        k = earliest_start(used, prompt[i], output[i], memory, release[i])
        hold(used, prompt[i], output[i], k, 1)
        starts[i] = k
        total += k + output[i]
    return total


@njit(cache=True)
def take_back(order: IntArray, first: int, prompt: IntArray, output: IntArray, used: IntArray, starts: IntArray) -> int:
    """Undo place_in_order(order, first, ...); the sum of the finish rounds taken back."""
    total = 0
    for position in range(first, len(order)):
        i = order[position]
        hold(used, prompt[i], output[i], starts[i], -1)
        total += starts[i] + output[i]
    return total


@njit(cache=True)
def change(
    order: IntArray,
    release: IntArray,
    arrival: IntArray,
    starts: IntArray,
    draw: FloatArray,
    longest: int,
    holding: float,
) -> int:
    """Change order or release at random in place; the first position that it concerns (n: nothing changed).

    Two requests are swapped, or one moves, mostly not far; or one must start a little later than it does, or may start
    from its arrival again.
    """
    n = len(order)
    p = int(draw[0] * n)
    if draw[2] < holding:
        i = order[p]
        later = starts[i] + 1 + int(draw[1] ** 2 * longest)
        release[i] = arrival[i] if release[i] > arrival[i] else later
        return p
    away = 2.0 * draw[1] - 1.0
    q = p + (1 + int(away**3 * (n - 1)) if away > 0 else int(away**3 * (n - 1)) - 1)
    if q < 0 or q >= n:
        return n
    if draw[3] < 0.5:
        order[p], order[q] = order[q], order[p]
    else:
        taken, step = order[p], 1 if q > p else -1
        for position in range(p, q, step):
            order[position] = order[position + step]
        order[q] = taken
    return min(p, q)


@njit(cache=True)
def anneal_orders(
    order: IntArray,
    arrival: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    used: IntArray,
    draws: FloatArray,
    hot: float,
    cold: float,
    holding: float,
) -> IntArray:
    """Best start rounds, int64 [n], met while changing `order` and the releases at random (see `change`).

    used: zeros, as in place_in_order but twice as long, for releases may idle. draws: float64 [moves, 5] uniform in
    [0, 1): position, distance, held back (if below `holding`), swap or move, acceptance. A change that costs d rounds
    is kept with probability exp(-d / temperature); the temperature falls geometrically from hot to cold.
    """
    longest = output.max()
    last = len(used) - 2 * longest - 2  # no release later than this
    starts, release = np.zeros(len(order), dtype=np.int64), arrival.copy()
    current = place_in_order(order, 0, release, prompt, output, memory, used, starts)
    best, best_starts = current, starts.copy()
    old_order, old_release, old_starts = order.copy(), release.copy(), starts.copy()
    for move in range(len(draws)):
        first = change(order, release, arrival, starts, draws[move], longest, holding)
        if first == len(order):
            continue
        before = take_back(old_order, first, prompt, output, used, starts)
        value = current - before + place_in_order(order, first, release, prompt, output, memory, used, starts)
        temperature = hot * (cold / hot) ** (move / len(draws))
        kept = value <= current or draws[move, 4] < np.exp((current - value) / temperature)
        if kept and starts.max() <= last:
            current = value
            old_order[first:] = order[first:]
            for position in range(first, len(order)):
                i = order[position]
                old_starts[i], old_release[i] = starts[i], release[i]
            if value < best:
                best, best_starts = value, starts.copy()
        else:
            take_back(order, first, prompt, output, used, starts)
            for position in range(first, len(order)):
                i = old_order[position]
                order[position], starts[i], release[i] = i, old_starts[i], old_release[i]
                hold(used, prompt[i], output[i], starts[i], 1)
    return best_starts
