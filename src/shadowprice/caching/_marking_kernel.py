# mypy: allow-untyped-defs, allow-untyped-calls
"""Randomised marking on a tree: what the phase has not used may go, any of it with equal chance."""

import numpy as np

from shadowprice.caching._leaf_set_kernel import add, drop
from shadowprice.kernels import njit


@njit(cache=True)
def evict_unmarked(offsets, chain, parent, size, cost_s, capacity, rng, saved_s, evicted, ends):
    """Run the requests; arguments and what is filled as in `evict_least_leaf`. rng: draws the leaf that goes.

    A request marks its chain. Where no unmarked leaf is left, a phase ends: all marks are cleared but the request's
    own. Marks are closed under parents, so an unmarked item has only unmarked items below it.
    """
    items = len(parent)
    cached, marked = np.zeros(items, np.bool_), np.full(items, -1)  # the phase that marked it
    children = np.zeros(items, np.int64)
    leaves, place, count = np.empty(items, np.int64), np.full(items, -1), 0  # cached, unmarked
    held, gone, phase = 0, 0, 0
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        found = True
        for k in range(first, last):
            v = chain[k]
            found = found and cached[v]
            if found:
                saved_s[i] += cost_s[v]
            if not cached[v]:
                cached[v] = True
                held += size[v]
                if parent[v] >= 0:
                    children[parent[v]] += 1
            marked[v] = phase
            count = drop(leaves, place, count, v)
        deepest = last - 1
        while held > capacity:
            if count == 0:
                phase += 1
                for k in range(first, last):
                    marked[chain[k]] = phase
                for v in range(items):
                    if cached[v] and marked[v] < phase and children[v] == 0:
                        count = add(leaves, place, count, v)
            if count > 0:
                v = leaves[int(rng.random() * count)]
                count = drop(leaves, place, count, v)
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
                if children[up] == 0 and marked[up] < phase:
                    count = add(leaves, place, count, up)
        ends[i] = gone
