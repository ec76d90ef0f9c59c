# mypy: allow-untyped-defs, allow-untyped-calls
"""Consistent hashing of sessions."""

import numpy as np

from shadowprice.routing.compiled import Compiled, Needs, at_least, may_take, njit


def consistent_hash(virtual_nodes: int = 160) -> Compiled:
    """The owner of the session's point on a circle of virtual_nodes per worker (vllm-router's 160).

    A request without a session is placed by its prompt, so that equal prompts meet.
    """
    points = at_least(1, virtual_nodes, "virtual_nodes")
    needs = Needs(prefixes=True, keys=True, ring_points=points)
    return Compiled("consistent_hash", on_the_ring, needs=needs, audited=False)


@njit(cache=True)
def on_the_ring(numbers, question, memory, i):
    """The owner of the first point of the circle at or after the request's key that can be given one more."""
    points, owners = memory.ring.points, memory.ring.owners
    at = np.searchsorted(points, question.requests[question.pool[i]].key)
    for k in range(len(points)):
        g = owners[(at + k) % len(points)]
        if may_take(question.workers, g, question.may_wait):
            return g
    return -1
