# mypy: allow-untyped-defs, allow-untyped-calls
"""W-TinyLFU (Einziger, Friedman, Manes, ACM TOS 2017): an LRU window before a segmented LRU that admits by count."""

from shadowprice.caching.queues._lists_kernel import enter, evict, leave, oldest
from shadowprice.caching.queues._sketch_kernel import count, count_of
from shadowprice.kernels import njit

WINDOW, PROBATION, PROTECTED = range(3)
WINDOW_SHARE, PROBATION_SHARE, SAMPLE = 0.01, 0.2, 32


@njit(cache=True)
def sizes(capacity):
    """Room of the window, of the main part, and of its two segments."""
    window = int(capacity * WINDOW_SHARE)
    main = capacity - window
    return window, main, int(PROBATION_SHARE * main), int((1.0 - PROBATION_SHARE) * main)


@njit(cache=True)
def touch(q, v, sketch, counted, capacity, request, evicted, gone):
    """A cached item is used; how many uses have been counted since the counters were last halved, how many evicted.

    The two segments together are a little smaller than the main part, where their shares are rounded down: so a use
    can evict.
    """
    if q.where[v] == WINDOW:
        leave(q, v)
        enter(q, WINDOW, v)
        return counted, gone
    _, main, probation, protected = sizes(capacity)
    leave(q, v)
    enter(q, PROTECTED, v)
    while q.held[PROTECTED] > protected and q.tail[PROTECTED] >= 0:
        cooled = q.tail[PROTECTED]
        leave(q, cooled)
        enter(q, PROBATION, cooled)
        coldest = oldest(q, PROBATION, request)
        while q.held[PROBATION] > probation and coldest >= 0:
            leave(q, coldest)
            gone = evict(q, coldest, evicted, gone)
            coldest = oldest(q, PROBATION, request)
    count(sketch, v)
    counted += 1
    if counted >= SAMPLE * main:
        counted = 0
        for i in range(len(sketch)):
            sketch[i] >>= 1
    return counted, gone


@njit(cache=True)
def insert(q, v, sketch):
    """An item is cached."""
    enter(q, WINDOW, v)
    count(sketch, v)


@njit(cache=True)
def make_room(q, sketch, capacity, request, evicted, gone):
    """Evict one item: what the window lets go, or what it takes the place of in the main part; how many have been."""
    _, main, _, _ = sizes(capacity)
    while True:
        v = oldest(q, WINDOW, request)
        rival = oldest(q, PROBATION, request)
        if rival < 0:
            rival = oldest(q, PROTECTED, request)
        if v < 0:
            leave(q, rival)
            return evict(q, rival, evicted, gone)
        if q.held[PROBATION] + q.held[PROTECTED] + q.size[v] <= main:
            leave(q, v)
            _admit(q, v, capacity)
            count(sketch, v)
        elif rival >= 0 and count_of(sketch, v) > count_of(sketch, rival):
            leave(q, rival)
            gone = evict(q, rival, evicted, gone)
            leave(q, v)
            _admit(q, v, capacity)
            count(sketch, v)
            return gone
        else:
            leave(q, v)
            count(sketch, v)
            return evict(q, v, evicted, gone)


@njit(cache=True)
def _admit(q, v, capacity):
    _, _, probation, protected = sizes(capacity)
    full = q.held[PROBATION] + q.size[v] > probation
    enter(q, PROTECTED if full and q.held[PROTECTED] + q.size[v] <= protected else PROBATION, v)
