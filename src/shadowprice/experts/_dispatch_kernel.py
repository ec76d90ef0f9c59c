# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels over a placement: its graph of replicas, and the best split of many batches over it."""

import numpy as np

from shadowprice.experts._flow_kernel import min_max_flow
from shadowprice.kernels import njit


@njit(cache=True)
def _holders(gpu_of_slot, expert_of_slot, experts, gpus):
    """The distinct GPUs of each expert, ascending: holder[holder_first[e]:holder_first[e + 1]]."""
    holds = np.zeros((experts, gpus), np.bool_)
    for p in range(len(gpu_of_slot)):
        holds[expert_of_slot[p], gpu_of_slot[p]] = True
    holder_first = np.zeros(experts + 1, np.int64)
    holder = np.empty(len(gpu_of_slot), np.int64)
    n = 0
    for e in range(experts):
        for g in range(gpus):
            if holds[e, g]:
                holder[n] = g
                n += 1
        holder_first[e + 1] = n
    return holder_first, holder[:n].copy()


@njit(cache=True)
def _directed_edges(holder_first, holder, gpus):
    """(tails of the directed edges, the holder entry whose load each takes or -1, nodes); entries 2i and 2i + 1 are the
    two directions of edge i."""
    tail = np.empty(2 * len(holder), np.int64)
    owner = np.full(2 * len(holder), -1, np.int64)
    nodes, i = gpus, 0
    for e in range(len(holder_first) - 1):
        a, z = holder_first[e], holder_first[e + 1]
        if z - a == 2:
            tail[2 * i], tail[2 * i + 1] = holder[a], holder[a + 1]
            owner[2 * i], owner[2 * i + 1] = a, a + 1
            i += 1
        elif z - a > 2:
            for k in range(a, z):
                tail[2 * i], tail[2 * i + 1] = holder[k], nodes
                owner[2 * i] = k
                i += 1
            nodes += 1
    return tail[: 2 * i], owner[: 2 * i], nodes


@njit(cache=True)
def replica_graph(gpu_of_slot, expert_of_slot, experts, gpus):
    """Which GPUs hold which expert, as the edges that load can move along.

    An expert on one GPU is fixed there. An expert on two is one edge between them. An expert on three or more is a node
    of its own, joined by an edge to each of its GPUs. A second replica on the same GPU adds nothing.

    Returns (holder_first, holder: as `_holders`; nodes; first, head, back: the residual graph of the flow kernel;
    edge_out: per holder entry, the position of the residual edge that takes load off that GPU, -1 where fixed).
    """
    holder_first, holder = _holders(gpu_of_slot, expert_of_slot, experts, gpus)
    tail, owner, nodes = _directed_edges(holder_first, holder, gpus)
    first = np.zeros(nodes + 1, np.int64)
    for u in tail:
        first[u + 1] += 1
    for u in range(nodes):
        first[u + 1] += first[u]
    following = first[:nodes].copy()
    position = np.empty(len(tail), np.int64)
    for j in range(len(tail)):
        position[j] = following[tail[j]]
        following[tail[j]] += 1
    head = np.empty(len(tail), np.int64)
    back = np.empty(len(tail), np.int64)
    edge_out = np.full(len(holder), -1, np.int64)
    for j in range(len(tail)):
        head[position[j]] = tail[j ^ 1]
        back[position[j]] = position[j ^ 1]
        if owner[j] >= 0:
            edge_out[owner[j]] = position[j]
    return holder_first, holder, nodes, first, head, back, edge_out


@njit(cache=True)
def even_start(counts, holder_first, holder, back, edge_out, integral, load, residual):
    """Put each expert's tokens on its GPUs in equal parts (in whole tokens if integral); fills load and residual."""
    load[:] = 0.0
    for e in range(len(holder_first) - 1):
        n = counts[e]
        a, z = holder_first[e], holder_first[e + 1]
        copies = z - a
        if copies == 1:
            load[holder[a]] += n
            continue
        rest = n % copies if integral else 0.0
        each = (n - rest) / copies
        for k in range(a, z):
            tokens = each + (1.0 if k - a < rest else 0.0)
            load[holder[k]] += tokens
            residual[edge_out[k]] = tokens
            if copies > 2:
                residual[back[edge_out[k]]] = n - tokens


@njit(cache=True)
def split_batches(
    counts, holder_first, holder, nodes, first, head, back, edge_out, gpus, integral, share, largest, cut
):
    """Least largest load of each batch, and the split that attains it.

    counts [batches, experts]: tokens. share [batches, holders]: set to the tokens of each holder entry. largest
    [batches]: set to the least maximum over GPUs. cut [batches, gpus]: set to the set of GPUs that proves it.
    """
    load = np.empty(nodes)
    residual = np.empty(len(head))
    scratch = np.empty((4, nodes), np.int64)
    for b in range(counts.shape[0]):
        even_start(counts[b], holder_first, holder, back, edge_out, integral, load, residual)
        largest[b] = min_max_flow(
            first, head, back, residual, load, gpus, integral, cut[b], scratch[0], scratch[1], scratch[2], scratch[3]
        )
        for e in range(len(holder_first) - 1):
            a, z = holder_first[e], holder_first[e + 1]
            for k in range(a, z):
                share[b, k] = residual[edge_out[k]] if z - a > 1 else counts[b, e]


@njit(cache=True)
def split_placement(counts, gpu_of_slot, expert_of_slot, gpus, integral):
    """`split_batches` over the graph of a placement: (holder_first, holder, share, largest, cut)."""
    holder_first, holder, nodes, first, head, back, edge_out = replica_graph(
        gpu_of_slot, expert_of_slot, counts.shape[1], gpus
    )
    share = np.empty((len(counts), len(holder)))
    largest = np.empty(len(counts))
    cut = np.empty((len(counts), gpus), np.uint8)
    split_batches(counts, holder_first, holder, nodes, first, head, back, edge_out, gpus, integral, share, largest, cut)
    return holder_first, holder, share, largest, cut
