# mypy: allow-untyped-defs, allow-untyped-calls
"""Local search over a split in tiles: fewer seconds on the slowest GPU by moving tiles, or whole replicas, off it.

Arrays as in `_dispatch_kernel`: the GPUs of expert e are holder[holder_first[e]:holder_first[e + 1]], and tiles
[batches, holders] are how many tiles of the expert each of them computes.
"""

import numpy as np

from shadowprice.kernels import njit


@njit(cache=True)
def whole_experts(tiles_of, holder_first, holder, gpus, order, tiles):
    """Each expert on one of its GPUs, in `order` [batches, experts], on the one with fewest tiles so far."""
    placed = np.empty(gpus)
    tiles[:] = 0.0
    for b in range(len(tiles_of)):
        placed[:] = 0.0
        for e in order[b]:
            best = holder_first[e]
            for k in range(holder_first[e], holder_first[e + 1]):
                if placed[holder[k]] < placed[holder[best]]:
                    best = k
            tiles[b, best] = tiles_of[b, e]
            placed[holder[best]] += tiles_of[b, e]


@njit(cache=True)
def seconds_of(tiles, holder, weight_s, tile_s, time_s):
    """Time of each GPU of one batch, into time_s [gpus]."""
    time_s[:] = 0.0
    for k in range(len(holder)):
        if tiles[k] > 0:
            time_s[holder[k]] += weight_s + tile_s * tiles[k]


@njit(cache=True)
def _best_amount(here, slow_s, fast_s, weight_s, tile_s, starts):
    """How many of `here` tiles to move, and the time of the slower of the two GPUs then.

    Up to here - 1 the slow GPU gets faster by a tile's time each and the other slower, so the best lies where they
    meet; moving all frees the slow one of the weights too. starts: the other has to read the weights first.
    """
    begun_s = fast_s + (weight_s if starts else 0.0)
    best, best_s = here, max(slow_s - tile_s * here - weight_s, begun_s + tile_s * here)
    meet = (slow_s - begun_s) / (2.0 * tile_s)
    for amount in (np.floor(meet), np.floor(meet) + 1.0):
        amount = min(max(amount, 1.0), here - 1.0)
        if amount >= 1.0:
            slower_s = max(slow_s - tile_s * amount, begun_s + tile_s * amount)
            if slower_s < best_s:
                best, best_s = amount, slower_s
    return best, best_s


@njit(cache=True)
def move_off_the_slowest(tiles, holder_first, holder, owner, gpus, weight_s, tile_s, time_s):
    """Move tiles off a slowest GPU while the slower of the two GPUs gets faster than that; tiles, time_s in place.

    owner [holders]: the expert of each entry. time_s [batches, gpus]: set to the times in the end. It ends, since the
    sorted times fall in lexicographic order at each move.
    """
    for b in range(len(tiles)):
        times_s = time_s[b]
        seconds_of(tiles[b], holder, weight_s, tile_s, times_s)
        while True:
            slow = int(np.argmax(times_s))
            best_s, source, target, moved = times_s[slow] * (1 - 1e-12), -1, -1, 0.0
            for k in range(len(holder)):
                if holder[k] != slow or tiles[b, k] == 0:
                    continue
                for j in range(holder_first[owner[k]], holder_first[owner[k] + 1]):
                    if j != k:
                        starts = tiles[b, j] == 0
                        amount, slower_s = _best_amount(
                            tiles[b, k], times_s[slow], times_s[holder[j]], weight_s, tile_s, starts
                        )
                        if slower_s < best_s:
                            best_s, source, target, moved = slower_s, k, j, amount
            if source < 0:
                break
            tiles[b, source] -= moved
            tiles[b, target] += moved
            seconds_of(tiles[b], holder, weight_s, tile_s, times_s)
