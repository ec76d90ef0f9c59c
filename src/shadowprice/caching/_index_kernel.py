"""The reuse index: evict the leaf whose seconds saved per unit of size and second held are expected to be least."""

import numpy as np
from numba import njit

from shadowprice.caching._leaf_set_kernel import add, drop
from shadowprice.caching._reuse_kernel import BINS, PER_LABEL, STARTS, bin_of, class_of, hazards, index_of_hazards

SAMPLE = 64
REFIT = 50  # requests, or a fiftieth of those seen


@njit(cache=True)
def evict_least_index(time_s, offsets, chain, parent, size, cost_s, label, labels, capacity, rng, saved_s, evicted, ends):
    """Run the requests under the reuse index; arguments and what is filled as in `evict_least_leaf`.

    label: class of each request, below `labels`. rng: draws the leaves that are compared.
    """
    items, n = len(parent), len(time_s)
    cached, known = np.zeros(items, np.bool_), np.zeros(items, np.bool_)
    children, offspring = np.zeros(items, np.int64), np.zeros(items, np.int64)
    uses, last_use = np.zeros(items, np.int64), np.zeros(items)
    request, of_class = np.full(items, -1), np.zeros(items, np.int64)
    leaves, place, count = np.empty(items, np.int64), np.full(items, -1), 0
    classes = labels * PER_LABEL
    reused, at_risk = np.zeros((classes, BINS)), np.zeros((classes, BINS))
    hazard, index = np.zeros((classes, BINS)), np.zeros((classes, BINS))
    log_item, log_request = np.empty(len(chain), np.int64), np.empty(len(chain), np.int64)
    logged, reached = 0, np.zeros(BINS, np.int64)
    held, refit, gone = 0, 0, 0
    for i in range(n):
        now = time_s[i]
        for b in range(1, BINS):  # uses that have come of an age without reuse
            k, edge = reached[b], now - STARTS[b]
            while k < logged and time_s[log_request[k]] <= edge:
                v = log_item[k]
                if request[v] == log_request[k]:
                    at_risk[of_class[v], b] += 1
                k += 1
            reached[b] = k
        if i >= refit:
            hazards(reused, at_risk, hazard)
            index_of_hazards(hazard, index)
            refit = i + max(REFIT, i // 50)
        first, last = offsets[i], offsets[i + 1]
        found = True
        for k in range(first, last):
            v = chain[k]
            found = found and cached[v]
            if found:
                saved_s[i] += cost_s[v]
            gap = -1.0
            if known[v]:
                gap = now - last_use[v]
                reused[of_class[v], bin_of(gap)] += 1
            elif parent[v] >= 0:
                offspring[parent[v]] += 1
            known[v] = True
            uses[v] += 1
            last_use[v], request[v] = now, i
            log_item[logged], log_request[logged] = v, i
            logged += 1
            of_class[v] = class_of(label[i], uses[v], k == last - 1, offspring[v] > 0 or k < last - 1, gap)
            at_risk[of_class[v], 0] += 1
            if not cached[v]:
                cached[v] = True
                held += size[v]
                if parent[v] >= 0:
                    children[parent[v]] += 1
                    count = drop(leaves, place, count, parent[v])
        if last > first and children[chain[last - 1]] == 0 and place[chain[last - 1]] < 0:
            count = add(leaves, place, count, chain[last - 1])
        v = -1
        while held > capacity:
            if v < 0:
                worst, second = np.inf, np.inf
                for s in range(min(SAMPLE, count)):
                    leaf = leaves[int(rng.random() * count)] if count > SAMPLE else leaves[s]
                    worth = index[of_class[leaf], bin_of(now - last_use[leaf])] * cost_s[leaf] / size[leaf]
                    if worth < worst:
                        worst, second, v = worth, worst, leaf
                    elif worth < second and leaf != v:
                        second = worth
            count = drop(leaves, place, count, v)
            cached[v] = False
            held -= size[v]
            evicted[gone] = v
            gone += 1
            up = parent[v]
            following = -1
            if up >= 0:
                children[up] -= 1
                if children[up] == 0:
                    count = add(leaves, place, count, up)
                    worth = index[of_class[up], bin_of(now - last_use[up])] * cost_s[up] / size[up]
                    if worth <= second:
                        following = up
            v = following
        ends[i] = gone

