# mypy: allow-untyped-defs, allow-untyped-calls
"""SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024): one queue, a hand that spares what was used again."""

from shadowprice.caching.queues._lists_kernel import enter, evict, leave
from shadowprice.kernels import njit

QUEUE = 0


@njit(cache=True)
def touch(q, v):
    """A cached item is used."""
    q.uses[v] = 1


@njit(cache=True)
def insert(q, v):
    """An item is cached."""
    enter(q, QUEUE, v)
    q.uses[v] = 0


@njit(cache=True)
def make_room(q, request, evicted, gone):
    """Evict one item; how many have been."""
    v = q.hand[0] if q.hand[0] >= 0 else q.tail[QUEUE]
    while q.uses[v] > 0 or q.request[v] == request:
        if q.request[v] != request:
            q.uses[v] = 0
        v = q.before[v] if q.before[v] >= 0 else q.tail[QUEUE]
    q.hand[0] = v
    leave(q, v)
    return evict(q, v, evicted, gone)
