# mypy: allow-untyped-defs, allow-untyped-calls
"""S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, SOSP 2023): a small queue that filters before a main one, and ghosts."""

from shadowprice.caching.queues._lists_kernel import enter, evict, leave, oldest
from shadowprice.kernels import njit

SMALL, MAIN, GHOST = range(3)
SMALL_SHARE, GHOST_SHARE, TO_MAIN, MOST_USES = 0.1, 0.9, 2, 3


@njit(cache=True)
def touch(q, v):
    """A cached item is used."""
    q.uses[v] += 1


@njit(cache=True)
def insert(q, v, returns, capacity, warm):
    """An item is cached.

    returns: was it in the ghost queue. warm: has anything been evicted; until then the main queue fills up too.
    """
    small = int(capacity * SMALL_SHARE)
    enter(q, MAIN if returns or (not warm and q.held[SMALL] >= small) else SMALL, v)
    q.uses[v] = 0


@njit(cache=True)
def make_room(q, capacity, request, evicted, gone):
    """Evict one item, or none where items have only moved from the small to the main queue; how many have been."""
    small = oldest(q, SMALL, request)
    if small < 0 or q.held[MAIN] > capacity - int(capacity * SMALL_SHARE):
        v = oldest(q, MAIN, request)
        while v >= 0 and q.uses[v] >= 1:
            uses = min(q.uses[v], MOST_USES) - 1
            leave(q, v)
            enter(q, MAIN, v)
            q.uses[v] = uses
            v = oldest(q, MAIN, request)
        if v >= 0:
            leave(q, v)
            return evict(q, v, evicted, gone)
    while small >= 0:
        again = q.uses[small] >= TO_MAIN
        leave(q, small)
        if not again:
            _remember(q, small, int(capacity * GHOST_SHARE))
            return evict(q, small, evicted, gone)
        enter(q, MAIN, small)
        q.uses[small] = 0
        small = oldest(q, SMALL, request)
    return gone


@njit(cache=True)
def _remember(q, v, most):
    if q.size[v] > most:
        return
    while q.held[GHOST] + q.size[v] > most:
        leave(q, q.tail[GHOST])
    enter(q, GHOST, v)
