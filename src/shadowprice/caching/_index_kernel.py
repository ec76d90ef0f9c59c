# mypy: allow-untyped-defs, allow-untyped-calls
"""Policies that evict the leaf, of a sample, that is worth least now: worth changes with the age since the last use."""

from collections import namedtuple

import numpy as np

from shadowprice.caching._leaf_set_kernel import add, drop
from shadowprice.caching._reuse_kernel import (
    BINS,
    GAPS,
    PER_LABEL,
    STARTS,
    bin_of,
    class_of,
    exponential_law,
    gap_of,
    hazards,
    hit_density,
    index_of_hazards,
)
from shadowprice.kernels import njit

INDEX, EXPONENTIAL, LHD, MARCONI = range(4)
SAMPLE = 64
REFIT = 50  # requests, or a fiftieth of those seen

# counts by class and bin of age: uses that were reused, that reached the age without, hits and evictions of cached
# items; ages_s: sums of the ages at reuse, by class
Counts = namedtuple("Counts", "reused at_risk hits evictions ages_s")


@njit(cache=True)
def evict_least_worth(
    code, parameter, time_s, offsets, chain, parent, size, cost_s, label, labels, capacity, rng, saved_s, evicted, ends
):
    """Run the requests; arguments and what is filled as in `evict_least_leaf`.

    parameter: of EXPONENTIAL the life of a cached block [s], of MARCONI the weight of what an item saves beside how
    recently it was used. label: class of each request, below `labels`. rng: draws the leaves that are compared.
    """
    items, n = len(parent), len(time_s)
    cached, known = np.zeros(items, np.bool_), np.zeros(items, np.bool_)
    children, offspring = np.zeros(items, np.int64), np.zeros(items, np.int64)
    uses, last_use = np.zeros(items, np.int64), np.zeros(items)
    request, of_class = np.full(items, -1), np.zeros(items, np.int64)
    leaves, place, count = np.empty(items, np.int64), np.full(items, -1), 0
    classes = labels * PER_LABEL if code == INDEX else labels if code == EXPONENTIAL else GAPS
    zero = np.zeros((classes, BINS))
    counts = Counts(zero, zero.copy(), zero.copy(), zero.copy(), np.zeros(classes))
    hazard, index = zero.copy(), zero.copy()
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
                    counts.at_risk[of_class[v], b] += 1
                k += 1
            reached[b] = k
        if i >= refit:
            _refit(code, parameter, counts, hazard, index)
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
                counts.reused[of_class[v], bin_of(gap)] += 1
                counts.ages_s[of_class[v]] += gap
                if cached[v]:
                    counts.hits[of_class[v], bin_of(gap)] += 1
            elif parent[v] >= 0:
                offspring[parent[v]] += 1
            known[v] = True
            uses[v] += 1
            last_use[v], request[v] = now, i
            log_item[logged], log_request[logged] = v, i
            logged += 1
            if code == INDEX:
                of_class[v] = class_of(label[i], uses[v], k == last - 1, offspring[v] > 0 or k < last - 1, gap)
            else:
                of_class[v] = label[i] if code == EXPONENTIAL else gap_of(gap)
            counts.at_risk[of_class[v], 0] += 1
            if not cached[v]:
                cached[v] = True
                held += size[v]
                if parent[v] >= 0:
                    children[parent[v]] += 1
                    count = drop(leaves, place, count, parent[v])
        if last > first and children[chain[last - 1]] == 0 and place[chain[last - 1]] < 0:
            count = add(leaves, place, count, chain[last - 1])
        following, second = -1, 0.0
        while held > capacity:
            v = following
            if v < 0:
                v, second = _worst(code, parameter, leaves, count, index, of_class, last_use, cost_s, size, now, rng)
            count = drop(leaves, place, count, v)
            cached[v] = False
            held -= size[v]
            counts.evictions[of_class[v], bin_of(now - last_use[v])] += 1
            evicted[gone] = v
            gone += 1
            up = parent[v]
            following = -1
            if up >= 0:
                children[up] -= 1
                if children[up] == 0:
                    count = add(leaves, place, count, up)
                    if (
                        code != MARCONI
                        and _worth(code, index, of_class[up], now - last_use[up], cost_s[up] / size[up]) <= second
                    ):
                        following = up
        ends[i] = gone


@njit(cache=True)
def _refit(code, parameter, counts, hazard, index):
    if code == INDEX:
        hazards(counts.reused, counts.at_risk, hazard)
        index_of_hazards(hazard, index)
    elif code == EXPONENTIAL:
        exponential_law(counts.reused, counts.at_risk, counts.ages_s, parameter, index)
    elif code == LHD:
        hit_density(counts.hits, counts.evictions, index)


@njit(cache=True)
def _worth(code, index, of_class, age_s, density):
    """What an item is kept for; density: seconds that it saves per unit of size."""
    worth = index[of_class, bin_of(age_s)]
    return worth if code == EXPONENTIAL else worth * density


@njit(cache=True)
def _worst(code, parameter, leaves, count, index, of_class, last_use, cost_s, size, now, rng):
    """The leaf of a sample that is worth least, and what the second is worth."""
    sample = np.empty(min(SAMPLE, count), np.int64)
    for s in range(len(sample)):
        sample[s] = leaves[int(rng.random() * count)] if count > SAMPLE else leaves[s]
    top, newest = 1e-300, 0.0
    if code == MARCONI:
        for v in sample:
            top = max(top, cost_s[v] / size[v])
            newest = max(newest, 1.0 / (1e-3 + now - last_use[v]))
    worst, worst_worth, second = -1, np.inf, np.inf
    for v in sample:
        if code == MARCONI:
            worth = parameter * cost_s[v] / size[v] / top + 1.0 / (1e-3 + now - last_use[v]) / newest
        else:
            worth = _worth(code, index, of_class[v], now - last_use[v], cost_s[v] / size[v])
        if worth < worst_worth:
            worst, worst_worth, second = v, worth, worst_worth
        elif worth < second and v != worst:
            second = worth
    return worst, second
