"""Groups of experts on nodes: packings by the loads of batches, and GPUs in an order that keeps groups together."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray

RESTARTS = 8  # random packings that are improved beside EPLB's
KEPT = 3  # of what was found, so many are tried


def other_packings(relative: FloatArray, packed: IntArray, rng: np.random.Generator) -> list[IntArray]:
    """Up to KEPT packings [nodes, groups / nodes], the best first by `largest_node`; without `packed` itself.

    relative: [batches, experts], the loads of a layer. packed: where to start, EPLB's. From there, and from random
    packings, groups of two nodes are swapped while that helps.
    """
    nodes, per_node = packed.shape
    of_group = relative.reshape(len(relative), nodes * per_node, -1).sum(axis=2)
    starts = [packed, *(rng.permutation(packed.ravel()).reshape(packed.shape) for _ in range(RESTARTS))]
    found = {_key(packing): packing for packing in (_improved(of_group, start) for start in starts)}
    found.pop(_key(packed), None)
    return sorted(found.values(), key=lambda packing: largest_node(of_group, packing))[:KEPT]


def largest_node(of_group: FloatArray, packing: IntArray) -> float:
    """Mean over batches of the largest node's load; of_group: [batches, groups]."""
    return float(of_group[:, packing].sum(axis=2).max(axis=1).mean())


def together(slots: IntArray, group_of: IntArray, gpus: int, nodes: int) -> IntArray | None:
    """The same slots [slots] with GPUs in an order in which every group is on one node; None where none is found.

    group_of: int64 [experts]. GPUs that share a group must share a node; such sets of GPUs are put onto the nodes, the
    largest first, each on the first that has room.
    """
    rows = slots.reshape(gpus, -1)
    held = np.zeros((gpus, int(group_of.max()) + 1), np.bool_)
    held[np.arange(gpus)[:, None], group_of[rows]] = True
    shares = (held.astype(np.int64) @ held.T > 0).astype(np.int64)
    for _ in range(int(np.ceil(np.log2(max(gpus, 2))))):  # to what can be reached over any number of shared groups
        shares = (shares @ shares > 0).astype(np.int64)
    sets = sorted({tuple(np.flatnonzero(row).tolist()) for row in shares}, key=lambda gpus_of: (-len(gpus_of), gpus_of))
    order: list[list[int]] = [[] for _ in range(nodes)]
    for members in sets:
        node = next((node for node in order if len(node) + len(members) <= gpus // nodes), None)
        if node is None:
            return None
        node.extend(members)
    return np.asarray(rows[[gpu for node in order for gpu in node]].ravel())


def _improved(of_group: FloatArray, packing: IntArray) -> IntArray:
    """Swap the two groups of different nodes that help most, while any do."""
    packing = packing.copy()
    nodes, per_node = packing.shape
    places = [(n, k) for n in range(nodes) for k in range(per_node)]
    while True:
        best, swap = largest_node(of_group, packing) * (1 - 1e-12), None
        for i, a in enumerate(places):
            for b in places[i + 1 :]:
                if a[0] != b[0]:
                    packing[a], packing[b] = packing[b], packing[a]
                    value = largest_node(of_group, packing)
                    packing[a], packing[b] = packing[b], packing[a]
                    if value < best:
                        best, swap = value, (a, b)
        if swap is None:
            return packing
        packing[swap[0]], packing[swap[1]] = packing[swap[1]], packing[swap[0]]


def _key(packing: IntArray) -> tuple[tuple[int, ...], ...]:
    """Which groups are together, whatever the order of nodes, which are alike."""
    return tuple(sorted(tuple(sorted(node)) for node in packing.tolist()))
