# mypy: allow-untyped-defs, allow-untyped-calls
"""A set of leaves from which one can be drawn: an array without order, in which each item knows its place."""

from shadowprice.kernels import njit


@njit(cache=True)
def add(leaves, place, count, v):
    """Add an item that is not in it; the new count."""
    leaves[count] = v
    place[v] = count
    return count + 1


@njit(cache=True)
def drop(leaves, place, count, v):
    """Take an item out, if it is there; the new count."""
    if place[v] < 0:
        return count
    count -= 1
    leaves[place[v]] = leaves[count]
    place[leaves[count]] = place[v]
    place[v] = -1
    return count
