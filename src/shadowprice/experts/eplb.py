"""EPLB, the placement that DeepSeek, vLLM and SGLang run: replicate the hottest, pack greedily by totals."""

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts.problem import Placement

FloatLike = npt.NDArray[np.float32] | FloatArray


def eplb(weight: npt.ArrayLike, slots: int, gpus: int, groups: int = 1, nodes: int = 1) -> Placement:
    """EPLB's placement (github.com/deepseek-ai/EPLB, eplb.py), the same slots for the same input.

    weight: [layers, experts], tokens of each expert over some recent time. Hierarchical where `groups` divide over the
    `nodes` (machines): groups of experts are packed onto nodes, each node replicates its own experts, and packs them
    onto its GPUs. Global otherwise: the same with one group and one node.
    Like the original it works in float32. Equal weights are taken in the order of experts, where the original leaves
    the order to its sort. Greedy, with no statement of how far from the best it is.
    Raises ExpertError where slots, GPUs, groups or experts do not divide, or slots are fewer than experts.
    """
    array = np.asarray(weight, np.float32)
    if array.ndim != 2 or not np.all(np.isfinite(array)) or array.min(initial=0) < 0:
        raise ExpertError("EPLB: weight must be finite, >= 0 and [layers, experts]")
    if nodes < 1 or groups < 1 or groups % nodes:
        groups, nodes = 1, 1
    _require_divisible(array.shape[1], slots, gpus, groups, nodes)
    layers = [_layer(row, slots, gpus, groups, nodes) for row in array]
    return Placement(np.stack(layers), gpus, array.shape[1])


def _layer(weight: npt.NDArray[np.float32], slots: int, gpus: int, groups: int, nodes: int) -> IntArray:
    return within_nodes(weight, pack(weight.reshape(groups, -1).sum(axis=1), nodes), slots, gpus)


def within_nodes(weight: npt.NDArray[np.float32], packed: IntArray, slots: int, gpus: int) -> IntArray:
    """One layer's slots as EPLB gives them, once it is known which groups are packed on which node [nodes, groups]."""
    nodes, size = len(packed), len(weight) // packed.size
    placed = []
    for node_groups in packed:
        of_node = (node_groups[:, None] * size + np.arange(size)).ravel()
        expert, copies = replicate(weight[of_node], slots // nodes)
        per_replica = (weight[of_node] / copies.astype(np.float32))[expert]
        placed.append(of_node[expert[pack(per_replica, gpus // nodes).ravel()]])
    return np.concatenate(placed)


def pack(weight: FloatLike, packs: int) -> IntArray:
    """Items by descending weight, each to the lightest pack that still has room: numbers [packs, items / packs]."""
    room = len(weight) // packs
    if room == 1:
        return np.arange(len(weight), dtype=np.int64)[:, None]
    items = np.empty((packs, room), np.int64)
    held = np.zeros(packs, np.int64)
    sums = np.zeros(packs, weight.dtype)
    for item in np.argsort(-weight, kind="stable"):
        lightest = int(np.argmin(sums))
        items[lightest, held[lightest]] = item
        held[lightest] += 1
        sums[lightest] = np.inf if held[lightest] == room else sums[lightest] + weight[item]
    return items


def replicate(weight: FloatLike, slots: int) -> tuple[IntArray, IntArray]:
    """One slot each, then one slot more for the largest weight per replica: (item of each slot, replicas of each)."""
    items = len(weight)
    item = np.arange(slots, dtype=np.int64)
    copies = np.ones(items, np.int64)
    for slot in range(items, slots):
        item[slot] = int(np.argmax(weight / copies.astype(weight.dtype)))
        copies[item[slot]] += 1
    return item, copies


def _require_divisible(experts: int, slots: int, gpus: int, groups: int, nodes: int) -> None:
    if slots < experts:
        raise ExpertError(f"EPLB: {slots} slots for {experts} experts; expected at least one each")
    for name, whole, parts, what in (
        ("slots", slots, gpus, "GPUs"),
        ("GPUs", gpus, nodes, "nodes"),
        ("experts", experts, groups, "groups"),
    ):
        if parts < 1 or whole % parts:
            raise ExpertError(f"EPLB: {whole} {name} do not divide over {parts} {what}")
