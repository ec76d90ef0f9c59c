"""Linked lists over items, newest at the head; each item stands in at most one."""

from collections import namedtuple

import numpy as np
from numba import njit

# before, after: neighbours towards the head and the tail; head, tail, held (size of all in it): one per list; where: the
# list of each item, -1 for none; uses: a count that the policy keeps; cached, children (cached ones), request (that
# used it last): of each item
Lists = namedtuple("Lists", "before after head tail held where uses cached children request size parent")


def new_lists(size, parent, lists):
    """Empty lists over items of these sizes and parents."""
    items = len(size)
    nobody = np.full(items, -1)
    return Lists(
        nobody,
        nobody.copy(),
        np.full(lists, -1),
        np.full(lists, -1),
        np.zeros(lists, np.int64),
        nobody.copy(),
        np.zeros(items, np.int64),
        np.zeros(items, np.bool_),
        np.zeros(items, np.int64),
        nobody.copy(),
        size,
        parent,
    )


@njit(cache=True)
def enter(q, number, v):
    """Put an item that is in no list at the head of one."""
    q.where[v] = number
    q.before[v] = -1
    q.after[v] = q.head[number]
    if q.head[number] >= 0:
        q.before[q.head[number]] = v
    else:
        q.tail[number] = v
    q.head[number] = v
    q.held[number] += q.size[v]


@njit(cache=True)
def leave(q, v):
    """Take an item out of its list."""
    number = q.where[v]
    if q.before[v] >= 0:
        q.after[q.before[v]] = q.after[v]
    else:
        q.head[number] = q.after[v]
    if q.after[v] >= 0:
        q.before[q.after[v]] = q.before[v]
    else:
        q.tail[number] = q.before[v]
    q.where[v] = -1
    q.held[number] -= q.size[v]


@njit(cache=True)
def oldest(q, number, request):
    """The item nearest to the tail that may be evicted: nothing cached below it, not of this request. -1: none."""
    v = q.tail[number]
    while v >= 0 and (q.children[v] > 0 or q.request[v] == request):
        v = q.before[v]
    return v


@njit(cache=True)
def evict(q, v, evicted, gone):
    """The item is cached no more: noted as the next in `evicted`; how many there are then."""
    q.cached[v] = False
    if q.parent[v] >= 0:
        q.children[q.parent[v]] -= 1
    evicted[gone] = v
    return gone + 1
