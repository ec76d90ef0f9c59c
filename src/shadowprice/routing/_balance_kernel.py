# mypy: allow-untyped-defs, allow-untyped-calls
"""Decisions that look at all waiting requests, and at what a hole in a worker's load is worth."""

from typing import NamedTuple

import numpy as np

from shadowprice.kernels import njit
from shadowprice.routing._choose_kernel import cached_tokens, give, highest, least_loaded, remember_prefix
from shadowprice.routing._improve_kernel import improve
from shadowprice.routing._learn_kernel import excess, growth_ratio, mean_output, note_prompt, refresh_law
from shadowprice.routing._window_kernel import NO_FORECAST, expected_loads, footprint, point_weights


class Balance(NamedTuple):
    """Parameters of `priced_holes`, `bf_io` and of `br_0` from a central queue; described where these are."""

    price: float = 0.0
    holes: int = 0
    tie: float = 0.0
    growth_tie: float = 0.0
    most_passes: int = 0
    prefill_kv_tokens: float = 0.0
    fixed_kv_tokens: float = 0.0
    to_maximum: bool = False
    forecast: int = NO_FORECAST
    points: int = 1
    stride: float = 0.0  # steps; negative: from what is learned
    discount: float = 1.0

    @property
    def numbers(self) -> tuple[float, ...]:
        """As they stand in a rule's numbers; `from_numbers` reads them."""
        return tuple(float(value) for value in self)


REACH = 0.2  # measured: 0.1 to 0.3 are alike, 0 and 0.5 cost a quarter more idle time
IMPROVING_ROUNDS = 4


@njit(cache=True)
def lowest_workers(loads, k, low):
    """Fill low[:k] with the workers of least load, least first."""
    n = 0
    for g in range(len(loads)):
        j = n
        while j > 0 and loads[low[j - 1]] > loads[g]:
            j -= 1
        if j < k:
            last = min(n, k - 1)
            for i in range(last, j, -1):
                low[i] = low[i - 1]
            low[j] = g
            n = min(n + 1, k)


@njit(cache=True)
def add_scores(loads, top, more, weight, k, price, tie, law, law_width, low, rank, scores):
    """Add to scores[g] what raising worker g's load by more[g] costs at one point of the window, per step.

    The rise of the maximum, plus `price` for each token that the k deepest holes would then let the next prompt raise
    it by, plus `tie` for each token of load. top: the largest load. rank[g]: -1 for every worker, as it is left; low:
    room for k + 1.
    """
    lowest_workers(loads, min(k + 1, len(loads)), low)
    unchanged = 0.0
    for j in range(k):
        unchanged += excess(law, law_width, top - loads[low[j]])
        rank[low[j]] = j
    for g in range(len(loads)):
        after = loads[g] + more[g]
        rise = after - top if after > top else 0.0
        cost = unchanged
        if rank[g] >= 0 or rise > 0.0:
            cost = 0.0
            for j in range(k):
                level = loads[low[j]]
                if j == rank[g]:
                    level = min(after, loads[low[k]]) if k < len(loads) else after
                cost += excess(law, law_width, top + rise - level)
        scores[g] += weight * (rise + price * cost + tie * after)
    for j in range(k):
        rank[low[j]] = -1


@njit(cache=True)
def largest_first(requests, pool, n):
    """Places in the pool, the largest prompts first, equal ones by age."""
    size = np.empty(n)
    for i in range(n):
        size[i] = -requests[pool[i]].prompt
    return np.argsort(size, kind="mergesort") if n > 1 else np.zeros(n, np.int64)


@njit(cache=True)
def place_all(balance, question, memory):
    """Give every request a worker, the largest prompts first, each where it costs least (`add_scores`).

    Without a price and affinity that is greedy on the window's imbalance, and moves and swaps follow (`improve`).
    """
    requests, pool, n, workers, answer = question.requests, question.pool, question.n, question.workers, question.answer
    learned, prefixes, window = memory.learned, memory.prefixes, memory.window.loads
    totals, law = learned.totals, learned.law
    opened = np.array([g for g in range(len(workers)) if workers[g].shut == 0])
    G, points = len(opened), balance.points
    k = min(balance.holes if balance.holes > 0 else max(1, round(np.sqrt(G) / 2)), G)
    price = balance.price * G / k / (1 + growth_ratio(totals))
    tie = balance.tie + balance.growth_tie * growth_ratio(totals)
    weights, scores, more = np.empty(points), np.empty(G), np.empty(G)
    low, rank = np.zeros(G + 1, np.int64), np.full(G, -1)
    loads, tops, law_width = np.empty((points, G)), np.zeros(points), totals[0].law_width
    for x in range(points):  # rows at once would compile numpy's broadcasting and its messages
        for j in range(G):
            loads[x, j] = window[opened[j], x]
            tops[x] = max(tops[x], loads[x, j])
    equal = same_speed(workers)
    added = np.empty((n, points))
    point_weights(balance, totals, weights)
    for i in largest_first(requests, pool, n):
        r = pool[i]
        footprint(balance, learned, requests, r, added[i])
        for j in range(G):
            scores[j] = 0.0
            if (
                balance.prefill_kv_tokens > 0
            ):  # seconds of recomputing, once, beside a load that lasts mean_output steps
                lost = requests[r].prompt - cached_tokens(requests, r, opened[j], prefixes)
                scores[j] = balance.prefill_kv_tokens * lost / mean_output(totals) / workers[opened[j]].speed
        for x in range(points):
            more[:] = added[i, x]
            if not equal:
                for j in range(G):
                    more[j] /= workers[opened[j]].speed
            add_scores(loads[x], tops[x], more, weights[x], k, price, tie, law, law_width, low, rank, scores)
        j = int(np.argmin(scores))
        g = opened[j]
        answer[i] = g
        for x in range(points):
            loads[x, j] += added[i, x] / workers[g].speed
            tops[x] = max(tops[x], loads[x, j])
        give(requests, workers, r, g)
        note_prompt(learned, requests[r].prompt)
        if balance.prefill_kv_tokens > 0:
            remember_prefix(requests, r, g, prefixes)
    if balance.price == 0 and balance.prefill_kv_tokens == 0 and n > 1 and equal and len(workers) == G:
        for x in range(points):
            for j in range(G):
                window[j, x] = loads[x, j]
        improve(window, added, weights, np.full(G, n), answer, IMPROVING_ROUNDS)


@njit(cache=True)
def same_speed(workers):
    """Have all workers speed 1."""
    same = True
    for g in range(len(workers)):
        same &= workers[g].speed == 1.0
    return same


@njit(cache=True)
def level_to_fill(workers, rooms, mean):
    """The load over speed that all open workers would have, were `rooms` mean requests spread evenly."""
    load, speed = rooms * mean, 0.0
    for g in range(len(workers)):
        if workers[g].shut == 0:
            load += workers[g].level * workers[g].speed
            speed += workers[g].speed
    return load / speed


@njit(cache=True)
def margin_score(prompt, margin, workers):
    """By how much a prompt on a worker so far below the maximum lowers the imbalance of the step (BR-0)."""
    if prompt <= margin:
        return prompt
    return margin - (workers - 1) * (prompt - margin)


@njit(cache=True)
def misfit(balance, G, size, hole, margin):
    """How badly a request of that size fits: tokens off the hole, and tokens above the maximum; or BR-0's score."""
    if balance.to_maximum:
        return -margin_score(size, margin, G)
    return abs(size - hole) + max(size - margin, 0.0)


@njit(cache=True)
def fill_holes(balance, question, learned):
    """Fill free slots from the pool, the deepest hole first, with the request whose size fits it best.

    A hole is what a worker lacks to the level at which all would stand if every free slot got a mean request, or a
    little more (REACH of the way to the maximum). Filling up to the maximum itself makes each step even, but uses up
    the big requests: the maximum then only rises, and deep holes meet small requests. The oldest request goes first
    once it was passed over `most_passes` times, to the free slot that it fits best.
    """
    requests, pool, n, workers, answer = question.requests, question.pool, question.n, question.workers, question.answer
    G = len(workers)
    total = 0.0
    for i in range(n):
        total += requests[pool[i]].prompt
    mean = learned.totals[0].law_mean if learned.totals[0].law_mean > 0 else total / n
    rooms = 0
    for g in range(G):
        rooms += workers[g].room
    oldest, younger_gone, left = 0, 0, n
    while left > 0 and rooms > 0:
        while answer[oldest] >= 0:
            oldest += 1
            younger_gone -= 1
        level = level_to_fill(workers, min(rooms, left), mean)
        top = highest(workers)
        level += REACH * max(top - level, 0.0)
        g = least_loaded(workers, True)
        best = oldest
        if requests[pool[oldest]].passes + younger_gone >= balance.most_passes:
            least = np.inf
            for h in range(G):
                if workers[h].room > 0:
                    hole = (level - workers[h].level) * workers[h].speed
                    cost = misfit(
                        balance, G, requests[pool[oldest]].prompt, hole, (top - workers[h].level) * workers[h].speed
                    )
                    if cost < least:
                        g, least = h, cost
        else:
            hole, margin = (level - workers[g].level) * workers[g].speed, (top - workers[g].level) * workers[g].speed
            least = np.inf
            for i in range(oldest, n):
                if answer[i] < 0:
                    cost = misfit(balance, G, requests[pool[i]].prompt, hole, margin)
                    if cost < least:
                        best, least = i, cost
        answer[best] = g
        younger_gone += 1
        left -= 1
        rooms -= 1
        give(requests, workers, pool[best], g)
        note_prompt(learned, requests[pool[best]].prompt)


@njit(cache=True)
def balance_all(numbers, question, memory, i):
    """The rule of `priced_holes` and `bf_io`: `place_all` on arrival, `fill_holes` from a central queue."""
    balance = from_numbers(numbers)
    workers = question.workers
    if balance.fixed_kv_tokens > 0:
        for g in range(len(workers)):
            load = balance.fixed_kv_tokens + workers[g].kv + workers[g].queued_kv
            workers[g].level = load / workers[g].speed
    refresh_law(memory.learned)
    if question.may_wait:
        fill_holes(balance, question, memory.learned)
    else:
        expected_loads(balance, question, memory)
        place_all(balance, question, memory)
    return -1


@njit(cache=True)
def from_numbers(numbers):
    """The parameters, as they stand in a rule's numbers."""
    return Balance(
        numbers[0],
        int(numbers[1]),
        numbers[2],
        numbers[3],
        int(numbers[4]),
        numbers[5],
        numbers[6],
        numbers[7] > 0,
        int(numbers[8]),
        int(numbers[9]),
        numbers[10],
        numbers[11],
    )
