# mypy: allow-untyped-defs, allow-untyped-calls
"""Remembered cuts: for each batch some sets of GPUs S, whose n({e: all replicas inside S}) / |S| bounds it from below.

Arrays over the cuts c, CUTS per batch, the cuts of batch b at b * CUTS onwards: inside [gpus, cuts] is 1 where the GPU
is in S; outside [experts, cuts] counts the expert's slots that are not in S; per_gpu [cuts] is 1 / |S|; value [cuts] is
the bound under the present placement. loads: [experts, batches].
"""

from shadowprice.kernels import njit

CUTS = 16


@njit(cache=True)
def remember(b, cut, loads, gpu_of_slot, slots, inside, outside, per_gpu, value):
    """Put a set of GPUs (cut [gpus] of 0 and 1) in the place of batch b's weakest."""
    c = b * CUTS
    for other in range(b * CUTS, (b + 1) * CUTS):
        if value[other] < value[c]:
            c = other
    size = 0
    for g in range(len(cut)):
        inside[g, c] = cut[g]
        size += cut[g]
    per_gpu[c] = 1.0 / size
    outside[:, c] = 0
    for p in range(len(slots)):
        if not cut[gpu_of_slot[p]]:
            outside[slots[p], c] += 1
    total = 0.0
    for e in range(len(loads)):
        if outside[e, c] == 0:
            total += loads[e, b]
    value[c] = total * per_gpu[c]


@njit(cache=True)
def floors_after_swap(e, g, f, h, loads, mean, inside, outside, per_gpu, value, change, floor):
    """Lower bound of each batch, and the change of each cut, if e on GPU g and f on GPU h trade places."""
    c = 0
    for b in range(len(mean)):
        least = mean[b]
        for _ in range(CUTS):
            d = 0.0
            if inside[g, c] != inside[h, c]:
                # the one that goes into S may now be inside with all its replicas; the one that leaves is not
                came, went = (f, e) if inside[g, c] else (e, f)
                if outside[came, c] == 1:
                    d += loads[came, b]
                if outside[went, c] == 0:
                    d -= loads[went, b]
                d *= per_gpu[c]
            change[c] = d
            least = max(least, value[c] + d)
            c += 1
        floor[b] = least


@njit(cache=True)
def floors_after_replacement(e, g, f, loads, mean, inside, outside, per_gpu, value, change, floor):
    """The same if a replica of e on GPU g, not its last one, becomes a replica of f."""
    c = 0
    for b in range(len(mean)):
        least = mean[b]
        for _ in range(CUTS):
            d = 0.0
            if not inside[g, c]:
                if outside[e, c] == 1:
                    d += loads[e, b]
                if outside[f, c] == 0:
                    d -= loads[f, b]
                d *= per_gpu[c]
            change[c] = d
            least = max(least, value[c] + d)
            c += 1
        floor[b] = least


@njit(cache=True)
def commit(e, g, f, h, inside, outside, change, value):
    """Make a swap (h >= 0) or a replacement (h < 0) the present placement."""
    for c in range(len(value)):
        value[c] += change[c]
        if h < 0:
            if not inside[g, c]:
                outside[e, c] -= 1
                outside[f, c] += 1
        elif inside[g, c] != inside[h, c]:
            step = 1 if inside[g, c] else -1
            outside[e, c] += step
            outside[f, c] -= step
