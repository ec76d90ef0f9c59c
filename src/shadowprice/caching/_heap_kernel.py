# mypy: allow-untyped-defs, allow-untyped-calls
"""A binary heap of items with two keys, in which each item knows its place: what is cached and may be evicted."""

from shadowprice.kernels import njit


@njit(cache=True)
def before(a, b, key, tie):
    """Does item a leave the cache before item b."""
    return key[a] < key[b] or (key[a] == key[b] and tie[a] < tie[b])


@njit(cache=True)
def _rise(heap, place, spot, key, tie):
    item = heap[spot]
    while spot > 0:
        above = (spot - 1) >> 1
        if not before(item, heap[above], key, tie):
            break
        heap[spot] = heap[above]
        place[heap[spot]] = spot
        spot = above
    heap[spot] = item
    place[item] = spot


@njit(cache=True)
def _sink(heap, length, place, spot, key, tie):
    item = heap[spot]
    while True:
        below = 2 * spot + 1
        if below >= length:
            break
        if below + 1 < length and before(heap[below + 1], heap[below], key, tie):
            below += 1
        if not before(heap[below], item, key, tie):
            break
        heap[spot] = heap[below]
        place[heap[spot]] = spot
        spot = below
    heap[spot] = item
    place[item] = spot


@njit(cache=True)
def push(heap, length, place, item, key, tie):
    """Add an item that is not in it; the new length."""
    heap[length] = item
    _rise(heap, place, length, key, tie)
    return length + 1


@njit(cache=True)
def discard(heap, length, place, item, key, tie):
    """Take an item out, if it is there; the new length."""
    spot = place[item]
    if spot < 0:
        return length
    place[item] = -1
    length -= 1
    if spot < length:
        heap[spot] = heap[length]
        place[heap[spot]] = spot
        _rise(heap, place, spot, key, tie)
        _sink(heap, length, place, place[heap[spot]], key, tie)
    return length
