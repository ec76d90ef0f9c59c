# mypy: allow-untyped-defs, allow-untyped-calls
"""The dispatch kernel of a redundancy graph: loads and capacities in, tokens over each edge out."""

import numpy as np

from shadowprice.experts._flow_kernel import min_max_flow
from shadowprice.kernels import njit


@njit(cache=True)
def split_edges(adjacency, gpus, load, capacity, integral, moved, after, cut):
    """Least largest load; fills moved [edges] (tokens that go to the replica), after [gpus] (loads), cut [gpus].

    adjacency: RedundancyGraph.adjacency. load [gpus]: tokens of each GPU's own experts, those with a replica included;
    capacity [edges]: tokens of the experts of that edge. It starts from half of each edge moved, which is nearer to the
    answer than nothing and as good a start as any.
    """
    edges = len(capacity)
    first, head, back, position = adjacency[0], adjacency[1], adjacency[2], adjacency[3]
    residual = np.empty(2 * edges)
    scratch = np.empty((4, gpus), np.int64)
    after[:] = load
    for i in range(edges):
        away, home = position[2 * i], position[2 * i + 1]
        half = capacity[i] * 0.5
        if integral:
            half = np.floor(half)
        residual[away] = capacity[i] - half
        residual[home] = half
        after[head[home]] -= half
        after[head[away]] += half
    largest = min_max_flow(
        first, head, back, residual, after, gpus, integral, cut, scratch[0], scratch[1], scratch[2], scratch[3]
    )
    for i in range(edges):
        moved[i] = residual[position[2 * i + 1]]
    return largest
