# mypy: allow-untyped-defs, allow-untyped-calls
"""Policies that evict the cached leaf with the least key, where a key changes only when its item is used."""

import numpy as np

from shadowprice.caching._heap_kernel import discard, push
from shadowprice.kernels import njit

FIFO, LRU, LFU, GDSF, LEC, TLRU, PLAN = range(7)


@njit(cache=True)
def _key(code, now, uses, seen, cost_s, size, clock):
    """What the policy `code` keeps an item for; the least leaves first."""
    if code == LFU:
        return float(uses)
    if code == GDSF:
        return clock + uses * cost_s / size
    if code == LEC:
        return seen * cost_s / size
    return float(now)


@njit(cache=True)
def evict_least_leaf(
    offsets, chain, parent, size, cost_s, spare, plan, capacity, code, compete, saved_s, evicted, ends
):
    """Run the requests; fills saved_s [n], evicted [len(chain)] (items in order) and ends [n] (how many until then).

    offsets, chain, parent, size, cost_s: as in Accesses. spare: int64 [n], for TLRU: how many of a chain's last items
    may be missing at its next use. plan: float64 [len(chain)], for PLAN: the key that each use gives. capacity: in
    units of size. code: the policy. compete: may what a request has just brought be evicted before what was there (so
    that admission and eviction are one comparison), or only where nothing else is left.
    """
    items = len(parent)
    cached = np.zeros(items, np.bool_)
    children = np.zeros(items, np.int64)  # cached ones
    uses = np.zeros(items, np.int64)  # while cached
    seen = np.zeros(items, np.int64)  # ever
    key, tie = np.zeros(items), np.zeros(items)
    heap, place, length = np.empty(items + 1, np.int64), np.full(items, -1), 0
    held, clock, gone = 0, 0.0, 0
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        found = True
        for k in range(first, last):
            v = chain[k]
            length = discard(heap, length, place, v, key, tie)
            found = found and cached[v]
            if found:
                saved_s[i] += cost_s[v]
            if not cached[v]:
                cached[v] = True
                uses[v] = 0
                held += size[v]
                if parent[v] >= 0:
                    children[parent[v]] += 1
                key[v] = i
            uses[v] += 1
            seen[v] += 1
            tie[v] = i
            if code != FIFO:
                key[v] = _key(code, i, uses[v], seen[v], cost_s[v], size[v], clock)
            if code == PLAN:
                key[v] = plan[k]
            if code == TLRU and k >= last - spare[i]:
                key[v] -= len(offsets)  # before all that are needed
        if compete and last > first and children[chain[last - 1]] == 0:
            length = push(heap, length, place, chain[last - 1], key, tie)
        deepest = last - 1
        while held > capacity:
            if length > 0:
                v = heap[0]
                length = discard(heap, length, place, v, key, tie)
                clock = key[v]
            else:  # only this request's own are left
                while not cached[chain[deepest]]:
                    deepest -= 1
                v = chain[deepest]
            cached[v] = False
            held -= size[v]
            evicted[gone] = v
            gone += 1
            up = parent[v]
            if up >= 0:
                children[up] -= 1
                if children[up] == 0 and (compete or tie[up] != i):
                    length = push(heap, length, place, up, key, tie)
        ends[i] = gone
        if not compete:
            while deepest >= first and not cached[chain[deepest]]:
                deepest -= 1
            if deepest >= first and children[chain[deepest]] == 0:
                length = push(heap, length, place, chain[deepest], key, tie)
