# mypy: allow-untyped-defs, allow-untyped-calls
"""One cache that follows several policies' own, of which it knows only what they evict: experts, and a guard."""

import numpy as np

from shadowprice.kernels import njit

STEP = 8.0  # weights fall by exp(-STEP) where a policy loses what a whole cache of mean items costs
GUARD = 0.1  # gamma below
FIRST_WEIGHT = 0.5


@njit(cache=True)
def follow(offsets, chain, parent, size, cost_s, capacity, saved, evicted, ends, rng, kept_s, gone_items, gone_ends):
    """Run the requests, following one of the experts at a time.

    kept_s, gone_items, gone_ends: filled as saved_s, evicted, ends of `evict_least_leaf`.
    saved: [experts, n] seconds that each expert's cache saves; evicted: [experts, len(chain)], ends: [experts, n] what
    each evicts. The last expert is the guard. Returns how often it changed, and for how many requests it was guarded.

    The cache holds all that it had of the followed one's, and what of others' there is room for: it evicts only what
    the followed one does not hold. A change costs no reload: what is missing is made when it is asked for.
    """
    experts, n = saved.shape
    items = len(parent)
    theirs = np.zeros((experts, items), np.bool_)
    cached, children = np.zeros(items, np.bool_), np.zeros(items, np.int64)
    spare, first_spare, spares = np.empty(items + 1, np.int64), 0, 0  # a ring: cached here, not with the followed one
    listed = np.zeros(items, np.bool_)
    weight = np.full(experts, (1.0 - FIRST_WEIGHT) / max(1, experts - 1))
    weight[0] = FIRST_WEIGHT if experts > 1 else 1.0
    chosen = followed = held = gone = changes = guarded = 0
    asked_s, asked, dearest = 0.0, 0, 0.0
    lead_s, guard, shielded = 0.0, experts - 1, False
    for i in range(n):
        first, last = offsets[i], offsets[i + 1]
        found = True
        for k in range(first, last):
            v = chain[k]
            asked_s += cost_s[v]
            asked += size[v]
            dearest = max(dearest, cost_s[v] / size[v])
            lead_s += GUARD * cost_s[v]
            found = found and cached[v]
            if found:
                kept_s[i] += cost_s[v]
            if not cached[v]:
                cached[v] = True
                held += size[v]
                if parent[v] >= 0:
                    children[parent[v]] += 1
            theirs[:, v] = True
        for e in range(experts):
            for k in range(ends[e, i - 1] if i > 0 else 0, ends[e, i]):
                v = evicted[e, k]
                theirs[e, v] = False
                if e == followed and cached[v] and not listed[v]:
                    listed[v] = True
                    spare[(first_spare + spares) % len(spare)] = v
                    spares += 1
        while held > capacity:
            v = spare[first_spare]
            first_spare = (first_spare + 1) % len(spare)
            if cached[v] and not theirs[followed, v] and children[v] > 0:  # below it first
                spare[(first_spare + spares - 1) % len(spare)] = v
                continue
            spares -= 1
            listed[v] = False
            if cached[v] and not theirs[followed, v]:
                cached[v] = False
                held -= size[v]
                if parent[v] >= 0:
                    children[parent[v]] -= 1
                gone_items[gone] = v
                gone += 1
        gone_ends[i] = gone
        if last == first:
            continue
        weight, chosen = _draw(weight, chosen, saved[:, i], STEP * asked / max(asked_s * capacity, 1e-300), rng)
        lead_s += kept_s[i] - (1.0 + GUARD) * saved[guard, i]
        content_s = capacity * dearest
        shielded = lead_s < (content_s if shielded else -content_s)
        guarded += shielded
        now = guard if shielded else chosen
        if now != followed:
            followed = now
            changes += 1
            spares, first_spare = 0, 0
            listed[:] = False
            for v in range(items - 1, -1, -1):  # an item is numbered after its parent
                if cached[v] and not theirs[followed, v]:
                    listed[v] = True
                    spare[spares] = v
                    spares += 1
    return changes, guarded


@njit(cache=True)
def _draw(weight, chosen, saved, rate, rng):
    """Weights after a request, and the expert chosen: as before, unless it has lost weight and the draw falls so."""
    after = weight * np.exp(rate * (saved - saved.max()))
    after = np.maximum(after / after.sum(), 1e-12)
    if rng.random() * weight[chosen] <= after[chosen]:
        return after, chosen
    gain = np.maximum(after - weight, 0.0)
    draw = rng.random() * gain.sum()
    for e in range(len(weight)):
        draw -= gain[e]
        if draw < 0:
            return after, e
    return after, int(np.argmax(gain))
