"""The exact split over a redundancy graph on tensors, many layers at once: for counts that should not leave the GPU.

Needs torch, and for a GPU Triton, which comes with torch's builds for GPUs.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

try:
    import torch  # type: ignore[import-not-found]
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError("shadowprice.experts.dispatch_torch needs torch; install it beside shadowprice") from error

from shadowprice.errors import ExpertError
from shadowprice.experts.dispatch import cut_bound, split_over_edges
from shadowprice.experts.graph import RedundancyGraph

MOST_TURNS_PER_GPU = 64  # far more than any instance of the tests took
WARPS = {16: 1, 32: 4}  # by GPUs, at most; 8 for more


@dataclass(frozen=True)
class TensorSplit:
    """moved [layers, edges], load [layers, gpus], largest [layers]: the maximum of load. bound [layers]: what a cut
    proves of every split; largest - bound is the most that the split is off the best. All float64."""

    moved: torch.Tensor
    load: torch.Tensor
    largest: torch.Tensor
    bound: torch.Tensor


def split_over_edges_torch(graph: RedundancyGraph, load: torch.Tensor, capacity: torch.Tensor) -> TensorSplit:
    """The least largest load that `split_over_edges` finds, for load [layers, gpus] and capacity [layers, edges].

    On a GPU: push-relabel under Newton's limit, a program per layer (`_split_triton`). Each turn: (1) distances from
    every GPU to the nearest one below the limit, along edges that can still take load; (2) GPUs that can reach none
    cannot lose load, so if one of them is above the limit, their mean load is a cut's bound and becomes the limit;
    (3) every GPU above the limit pushes what is too much along edges one step nearer. A GPU at the limit never falls
    below it, so distances under one limit only grow, which is why push-relabel ends; a limit that is raised comes from
    another, tighter cut. When no GPU is above the limit the split is optimal (to 1e-13 of the largest load). Nothing is
    read back: the call can be captured in a CUDA graph, after one before it that takes the redundancy graph there.
    On a CPU: `split_over_edges` of each layer. Tensors of integers or floats; raises ExpertError where shapes differ.
    """
    if load.shape != (len(load), graph.gpus) or capacity.shape != (len(load), len(graph)):
        expected = f"load [layers, {graph.gpus}] and capacity [layers, {len(graph)}]"
        raise ExpertError(f"load is {list(load.shape)} and capacity {list(capacity.shape)}; expected {expected}")
    if load.device.type == "cpu":
        return _on_cpu(graph, load, capacity)
    return _on_gpu(graph, load, capacity)


def _on_cpu(graph: RedundancyGraph, load: torch.Tensor, capacity: torch.Tensor) -> TensorSplit:
    rows = list(zip(load.double().numpy(), capacity.double().numpy(), strict=True))
    splits = [split_over_edges(graph, *row) for row in rows]
    bounds = [cut_bound(graph, *row, split.cut) for row, split in zip(rows, splits, strict=True)]
    columns = [split.moved for split in splits], [split.load for split in splits], [s.largest for s in splits], bounds
    return TensorSplit(*(torch.tensor(np.array(column, np.float64)) for column in columns))


def _on_gpu(graph: RedundancyGraph, load: torch.Tensor, capacity: torch.Tensor) -> TensorSplit:
    from shadowprice.experts._split_triton import split_layers

    codes = _codes(graph.gpus, graph.origin.tobytes(), graph.replica.tobytes(), load.device)
    multiplicity, n, _ = codes.shape
    layers, gpus = load.shape
    after, moved = (torch.empty_like(rows, dtype=torch.float64) for rows in (load, capacity))
    largest, bound = (torch.empty(layers, dtype=torch.float64, device=load.device) for _ in range(2))
    numbers = (gpus, len(graph), MOST_TURNS_PER_GPU * gpus)
    split_layers[(layers,)](
        codes,
        load.contiguous(),
        capacity.contiguous(),
        after,
        moved,
        largest,
        bound,
        *numbers,
        n=n,
        multiplicity=multiplicity,
        num_warps=min((warps for most, warps in WARPS.items() if n <= most), default=8),
    )
    return TensorSplit(moved, after, largest, bound)


@lru_cache(maxsize=64)
def _codes(gpus: int, origin: bytes, replica: bytes, device: torch.device) -> torch.Tensor:
    """The graph as `split_layers` reads it."""
    between: dict[tuple[int, int], list[int]] = {(0, 0): []}
    ends = zip(np.frombuffer(origin, np.int64).tolist(), np.frombuffer(replica, np.int64).tolist(), strict=True)
    for edge, (own, other) in enumerate(ends):
        between.setdefault((own, other), []).append(edge + 1)
        between.setdefault((other, own), []).append(-edge - 1)
    n = max(1 << (gpus - 1).bit_length(), 2)
    codes = np.zeros((max(map(len, between.values())), n, n), np.int32)
    for pair, edges in between.items():
        codes[: len(edges), *pair] = edges
    return torch.tensor(codes, device=device)
