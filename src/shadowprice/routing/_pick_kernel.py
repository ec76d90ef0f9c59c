# mypy: allow-untyped-defs, allow-untyped-calls
"""The heuristics of production routers, compiled: one request at a time, in order of arrival."""

import numpy as np
from numba import types
from numba.extending import overload

from shadowprice.kernels import njit
from shadowprice.routing._tables import (
    BR_0,
    CACHE_AWARE,
    CONSISTENT_HASH,
    JOIN_SHORTEST_QUEUE,
    LEAST_KV,
    POWER_OF_TWO,
    RANDOM,
    ROUND_ROBIN,
)


def draw(rng):
    """A number in [0, 1); 0 where there is no generator, for policies that draw none."""
    return 0.0 if rng is None else rng.random()


@overload(draw)
def _draw(rng):
    if isinstance(rng, types.NoneType):
        return lambda rng: 0.0
    return lambda rng: rng.random()


@njit(cache=True)
def may_take(workers, g, may_wait):
    """Can worker g be given one more."""
    return workers[g].shut == 0 and (not may_wait or workers[g].room > 0)


@njit(cache=True)
def give(requests, workers, r, g):
    """Book request r on worker g, while the decision lasts."""
    workers[g].level += requests[r].prompt / workers[g].speed
    workers[g].count += 1
    workers[g].room -= 1


@njit(cache=True)
def nth_open(workers, n, may_wait):
    """The n-th worker, from 0, that can be given one more."""
    for g in range(len(workers)):
        if may_take(workers, g, may_wait):
            if n == 0:
                return g
            n -= 1
    return -1


@njit(cache=True)
def count_open(workers, may_wait):
    """How many workers can be given one more."""
    n = 0
    for g in range(len(workers)):
        n += 1 if may_take(workers, g, may_wait) else 0
    return n


@njit(cache=True)
def least_loaded(workers, may_wait):
    """The worker with the least load."""
    best = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and (best < 0 or workers[g].level < workers[best].level):
            best = g
    return best


@njit(cache=True)
def fewest_requests(workers, may_wait):
    """The first of the workers with the fewest requests."""
    best = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and (best < 0 or workers[g].count < workers[best].count):
            best = g
    return best


@njit(cache=True)
def fewest_requests_at_random(workers, may_wait, rng):
    """One of the workers with the fewest requests, each as likely."""
    best = fewest_requests(workers, may_wait)
    ties = 0
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and workers[g].count == workers[best].count:
            ties += 1
    chosen = int(draw(rng) * ties)
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and workers[g].count == workers[best].count:
            if chosen == 0:
                return g
            chosen -= 1
    return best


@njit(cache=True)
def next_in_turn(workers, notes, may_wait):
    """Round robin: the next worker in turn that can be given one more."""
    for i in range(len(workers)):
        g = (notes[0].turn + i) % len(workers)
        if may_take(workers, g, may_wait):
            notes[0].turn = (g + 1) % len(workers)
            return g
    return -1


@njit(cache=True)
def better_of_two(workers, may_wait, rng):
    """Two different workers at random; the one with fewer requests."""
    n = count_open(workers, may_wait)
    first = int(draw(rng) * n)
    if n < 2:
        return nth_open(workers, first, may_wait)
    second = (first + 1 + int(draw(rng) * (n - 1))) % n
    a, b = nth_open(workers, first, may_wait), nth_open(workers, second, may_wait)
    return a if workers[a].count <= workers[b].count else b


@njit(cache=True)
def on_the_ring(requests, workers, r, ring, owners, may_wait):
    """The owner of the first point of the circle at or after the request's key that can be given one more."""
    at = np.searchsorted(ring, requests[r].key)
    for i in range(len(ring)):
        g = owners[(at + i) % len(ring)]
        if may_take(workers, g, may_wait):
            return g
    return -1


@njit(cache=True)
def prefix_blocks(requests, r, g, blocks, tree):
    """Leading blocks of request r that worker g is known to hold."""
    n = 0
    if len(tree) > 0:
        word, bit = g // 64, np.uint64(1) << np.uint64(g % 64)
        while n < requests[r].n_blocks and tree[blocks[requests[r].first_block + n], word] & bit:
            n += 1
    return n


@njit(cache=True)
def cached_tokens(requests, r, g, blocks, block_tokens, tree):
    """Leading prompt tokens of request r that worker g is known to hold, at most all but the last."""
    return min(prefix_blocks(requests, r, g, blocks, tree) * block_tokens, requests[r].prompt - 1)


@njit(cache=True)
def remember_prefix(requests, r, g, blocks, block_tokens, tree, seen):
    """Put the prompt of request r into the tree of worker g."""
    if len(tree) > 0 and requests[r].n_blocks > 0:
        seen[g].tree_tokens += requests[r].prompt - cached_tokens(requests, r, g, blocks, block_tokens, tree)
        word, bit = g // 64, np.uint64(1) << np.uint64(g % 64)
        for i in range(requests[r].first_block, requests[r].first_block + requests[r].n_blocks):
            tree[blocks[i], word] |= bit
    else:
        seen[g].tree_tokens += requests[r].prompt


@njit(cache=True)
def by_cache(rules, requests, workers, r, blocks, block_tokens, tree, seen, may_wait):
    """Cache-aware: least busy when out of balance, else the best prefix match, else the smallest tree."""
    fewest = fewest_requests(workers, may_wait)
    most = 0
    for g in range(len(workers)):
        if workers[g].shut == 0:
            most = max(most, workers[g].count)
    least = workers[fewest].count
    if most - least > rules.balance_abs and most > rules.balance_rel * least:
        return fewest
    best = -1
    longest = 0
    smallest = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait):
            match = cached_tokens(requests, r, g, blocks, block_tokens, tree)
            if match > longest:
                best, longest = g, match
            if smallest < 0 or seen[g].tree_tokens < seen[smallest].tree_tokens:
                smallest = g
    if longest > rules.cache_threshold * requests[r].prompt:
        return best
    return smallest


@njit(cache=True)
def by_published_counts(rules, workers, notes, seen, now_s, may_wait):
    """vLLM's internal balancer: least weight * waiting + running, by counts that are renewed from time to time."""
    if now_s - notes[0].snapshot_s >= rules.refresh_s:
        notes[0].snapshot_s = now_s
        for g in range(len(workers)):
            seen[g].waiting = workers[g].queued
            seen[g].running = workers[g].running
    best = -1
    lowest = np.inf
    for g in range(len(workers)):
        score = rules.waiting_weight * seen[g].waiting + seen[g].running
        if may_take(workers, g, may_wait) and score < lowest:
            best, lowest = g, score
    seen[best].waiting += 1
    return best


@njit(cache=True)
def margin_score(prompt, margin, workers):
    """By how much a prompt on a worker so far below the maximum lowers the imbalance of the step (BR-0)."""
    if prompt <= margin:
        return prompt
    return margin - (workers - 1) * (prompt - margin)


@njit(cache=True)
def highest(workers):
    """The largest load of a worker that may be given more."""
    top = 0.0
    for g in range(len(workers)):
        if workers[g].shut == 0:
            top = max(top, workers[g].level)
    return top


@njit(cache=True)
def pick(rules, requests, workers, r, now_s, may_wait, notes, seen, blocks, block_tokens, tree, ring, owners, rng):
    """The worker of request r, under the policies that take one request at a time."""
    code = rules.code
    if code == ROUND_ROBIN:
        return next_in_turn(workers, notes, may_wait)
    if code == RANDOM:
        return nth_open(workers, int(draw(rng) * count_open(workers, may_wait)), may_wait)
    if code == POWER_OF_TWO:
        return better_of_two(workers, may_wait, rng)
    if code == CONSISTENT_HASH:
        return on_the_ring(requests, workers, r, ring, owners, may_wait)
    if code == CACHE_AWARE:
        return by_cache(rules, requests, workers, r, blocks, block_tokens, tree, seen, may_wait)
    if code == JOIN_SHORTEST_QUEUE:
        return fewest_requests_at_random(workers, may_wait, rng)
    if code in (LEAST_KV, BR_0):  # the worker of BR-0 is the one with the widest margin
        return least_loaded(workers, may_wait)
    return by_published_counts(rules, workers, notes, seen, now_s, may_wait)
