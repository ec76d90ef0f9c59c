"""Exact split of one batch's tokens over the replicas of their experts, with the set of GPUs that proves it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy import empty, uint8

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts._dispatch_kernel import split_placement
from shadowprice.experts._edge_kernel import split_edges
from shadowprice.experts.graph import RedundancyGraph

Cut = npt.NDArray[np.uint8]


class EdgeSplit(NamedTuple):
    """Optimal split over a redundancy graph: moved [edges] tokens go to the replica, load [gpus] is what results.

    largest: the least maximum of `load`. cut [gpus]: 1 on the GPUs of the set S that proves it (`cut_bound`).
    A tuple and no dataclass, because making it is part of the microseconds that a split takes.
    """

    moved: FloatArray
    load: FloatArray
    largest: float
    cut: Cut


@dataclass(frozen=True)
class ReplicaSplit:
    """Optimal split over replicas: tokens [batches, experts, gpus], largest [batches], cut [batches, gpus]."""

    tokens: FloatArray
    largest: FloatArray
    cut: Cut


def split_over_edges(
    graph: RedundancyGraph, load: FloatArray, capacity: FloatArray, integral: bool = False
) -> EdgeSplit:
    """Tokens to send over each edge so that the largest GPU load is least; exact, in microseconds.

    load: float64 [gpus], tokens of each GPU's own experts, those that have a replica included. capacity: float64
    [edges], tokens of the experts of that edge. integral: whole tokens (load and capacity must be whole).
    The checks are those that keep the kernel inside its arrays; `check_split` verifies numbers.
    """
    gpus, edges = graph.gpus, len(graph.origin)
    if len(load) != gpus or len(capacity) != edges:
        raise ExpertError(f"dispatch: {len(load)} loads and {len(capacity)} capacities; expected {gpus} and {edges}")
    moved, after, cut = empty(edges), empty(gpus), empty(gpus, uint8)
    largest = split_edges(graph.adjacency, gpus, load, capacity, integral, moved, after, cut)
    return EdgeSplit(moved, after, largest, cut)


def cut_bound(graph: RedundancyGraph, load: FloatArray, capacity: FloatArray, cut: Cut) -> float:
    """(load of S - capacity of the edges that leave S) / |S|: no split has a smaller largest load.

    Proof: at most the capacity of its outgoing edges can leave S, so what stays is shared by |S| GPUs.
    """
    inside = cut.astype(bool)
    leaving = inside[graph.origin] & ~inside[graph.replica]
    return float((load[inside].sum() - capacity[leaving].sum()) / inside.sum())


def split_over_replicas(
    counts: FloatArray, expert_of_slot: IntArray, gpus: int, integral: bool = False
) -> ReplicaSplit:
    """Tokens of each expert that each GPU computes so that the largest GPU load is least, for each batch; exact.

    counts: [batches, experts] tokens; expert_of_slot: int64 [slots], one layer of a Placement.
    Raises ExpertError for loads that are negative or not finite, not whole where integral, or shapes that do not fit.
    """
    counts = np.ascontiguousarray(counts, np.float64)
    _require_counts(counts, integral)
    experts, slots = counts.shape[1], len(expert_of_slot)
    held = np.bincount(expert_of_slot, minlength=experts)
    if slots % gpus or len(held) != experts or held.min() == 0:
        raise ExpertError(f"dispatch: {slots} slots on {gpus} GPUs must hold each of {experts} experts at least once")
    gpu_of_slot = np.arange(slots) // (slots // gpus)
    holder_first, holder, share, largest, cut = split_placement(counts, gpu_of_slot, expert_of_slot, gpus, integral)
    tokens = np.zeros((len(counts), experts, gpus))
    tokens[:, np.repeat(np.arange(experts), np.diff(holder_first)), holder] = share
    return ReplicaSplit(tokens, largest, cut)


def replica_cut_bound(counts: FloatArray, expert_of_slot: IntArray, gpus: int, cut: Cut) -> float:
    """Tokens of the experts of one batch [experts] that live inside S only, / |S|: no split has a smaller maximum."""
    slots = len(expert_of_slot)
    outside = ~cut.astype(bool)[np.arange(slots) // (slots // gpus)]
    reaches_out = np.bincount(expert_of_slot, weights=outside, minlength=len(counts)) > 0
    return float(counts[~reaches_out].sum() / cut.sum())


def _require_counts(counts: FloatArray, integral: bool) -> None:
    if counts.ndim != 2:
        raise ExpertError(f"dispatch: counts have {counts.ndim} dimensions; expected [batches, experts]")
    if not np.all(np.isfinite(counts)) or counts.min(initial=0.0) < 0:
        raise ExpertError("dispatch: counts must be finite and >= 0")
    if integral and np.any(counts != np.floor(counts)):
        raise ExpertError("dispatch: counts must be whole tokens for a split in whole tokens")
