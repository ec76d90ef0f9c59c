# mypy: allow-untyped-defs, allow-untyped-calls
"""ARC (Megiddo, Modha, FAST 2003): used once, used again, and a memory of each that says which deserves more room."""

from shadowprice.caching.queues._lists_kernel import enter, evict, leave, oldest
from shadowprice.kernels import njit

ONCE, AGAIN, ONCE_GHOST, AGAIN_GHOST = range(4)


@njit(cache=True)
def touch(q, v):
    """A cached item is used."""
    leave(q, v)
    enter(q, AGAIN, v)


@njit(cache=True)
def recall(q, v, target, capacity):
    """An item comes that is not cached: the new target size of ONCE, and the ghost list that it was in, -1 for none."""
    ghost = q.where[v]
    if ghost == ONCE_GHOST:
        target = min(target + max(q.held[AGAIN_GHOST] / q.held[ONCE_GHOST], 1.0), float(capacity))
    elif ghost == AGAIN_GHOST:
        target = max(target - max(q.held[ONCE_GHOST] / q.held[AGAIN_GHOST], 1.0), 0.0)
    if ghost >= 0:
        leave(q, v)
    return target, ghost


@njit(cache=True)
def insert(q, v, ghost):
    """An item is cached."""
    enter(q, AGAIN if ghost >= 0 else ONCE, v)


@njit(cache=True)
def make_room(q, target, ghost, coming, capacity, request, evicted, gone):
    """Evict one item, for one of size `coming` that came from the list `ghost`; how many have been."""
    if ghost < 0:
        if q.held[ONCE] + q.held[ONCE_GHOST] + coming > capacity:
            if q.held[ONCE_GHOST] > 0:
                leave(q, q.tail[ONCE_GHOST])
            else:
                v = oldest(q, ONCE, request)
                if v >= 0:
                    leave(q, v)
                    return evict(q, v, evicted, gone)
        elif q.held.sum() >= 2 * capacity and q.held[AGAIN_GHOST] > 0:
            leave(q, q.tail[AGAIN_GHOST])
    once, again = oldest(q, ONCE, request), oldest(q, AGAIN, request)
    over = q.held[ONCE] > target or (q.held[ONCE] == target and ghost == AGAIN_GHOST)
    if (once >= 0 and over) or again < 0:
        leave(q, once)
        enter(q, ONCE_GHOST, once)
        return evict(q, once, evicted, gone)
    leave(q, again)
    enter(q, AGAIN_GHOST, again)
    return evict(q, again, evicted, gone)
