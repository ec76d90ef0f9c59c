# mypy: allow-untyped-defs, allow-untyped-calls
"""Linked lists over items, newest at the head; each item belongs to at most one.

Only what may be evicted is linked: an item with something cached below it belongs to its list, and counts in what the
list holds, but does not stand in it until the last of these has gone; then it stands at the head.
"""

from collections import namedtuple

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.kernels import njit

# before, after: neighbours towards the head and the tail; linked: does it stand in its list; head, tail, held (size of
# all that belong): one per list; where: the list of each item, -1 for none; uses: a count that the policy keeps;
# cached, children (cached ones), request (that used it last), size, parent: of each item; hand: of SIEVE, [1]
Lists = namedtuple("Lists", "before after linked head tail held where uses cached children request size parent hand")


def new_lists(size: IntArray, parent: IntArray, lists: int) -> Lists:
    """Empty lists over items of these sizes and parents."""
    items = len(size)
    nobody = np.full(items, -1)
    return Lists(
        before=nobody,
        after=nobody.copy(),
        linked=np.zeros(items, np.bool_),
        head=np.full(lists, -1),
        tail=np.full(lists, -1),
        held=np.zeros(lists, np.int64),
        where=nobody.copy(),
        uses=np.zeros(items, np.int64),
        cached=np.zeros(items, np.bool_),
        children=np.zeros(items, np.int64),
        request=nobody.copy(),
        size=size,
        parent=parent,
        hand=np.full(1, -1),
    )


@njit(cache=True)
def enter(q, number, v):
    """Add an item that is in no list to one, at the head."""
    q.where[v] = number
    q.held[number] += q.size[v]
    if q.children[v] == 0:
        _link(q, v)


@njit(cache=True)
def leave(q, v):
    """Take an item out of its list."""
    if q.linked[v]:
        _unlink(q, v)
    q.held[q.where[v]] -= q.size[v]
    q.where[v] = -1


@njit(cache=True)
def _link(q, v):
    number = q.where[v]
    q.linked[v] = True
    q.before[v] = -1
    q.after[v] = q.head[number]
    if q.head[number] >= 0:
        q.before[q.head[number]] = v
    else:
        q.tail[number] = v
    q.head[number] = v


@njit(cache=True)
def _unlink(q, v):
    number = q.where[v]
    if q.hand[0] == v:
        q.hand[0] = q.before[v]
    if q.before[v] >= 0:
        q.after[q.before[v]] = q.after[v]
    else:
        q.head[number] = q.after[v]
    if q.after[v] >= 0:
        q.before[q.after[v]] = q.before[v]
    else:
        q.tail[number] = q.before[v]
    q.linked[v] = False


@njit(cache=True)
def oldest(q, number, request):
    """The item nearest to the tail that this request has not used; -1: none."""
    v = q.tail[number]
    while v >= 0 and q.request[v] == request:
        v = q.before[v]
    return v


@njit(cache=True)
def keep(q, v, request):
    """The item, which is in a list now, is cached, for this request."""
    q.cached[v] = True
    q.request[v] = request
    up = q.parent[v]
    if up >= 0:
        q.children[up] += 1
        if q.cached[up] and q.linked[up]:  # not where it waits among ghosts
            _unlink(q, up)


@njit(cache=True)
def evict(q, v, evicted, gone):
    """The item is cached no more: noted as the next in `evicted`; how many there are then."""
    q.cached[v] = False
    evicted[gone] = v
    up = q.parent[v]
    if up >= 0:
        q.children[up] -= 1
        if q.children[up] == 0 and q.cached[up]:
            _link(q, up)
    return gone + 1
