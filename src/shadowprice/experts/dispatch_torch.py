"""The exact split over a redundancy graph on tensors, many layers at once, on whatever device they are.

Needs torch (any device). The numba kernel is far faster on a CPU; this one is for counts that should not leave the GPU.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

try:
    import torch  # type: ignore[import-not-found]
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError("shadowprice.experts.dispatch_torch needs torch; install it beside shadowprice") from error

from shadowprice.experts.graph import RedundancyGraph

MOST_TURNS_PER_GPU = 64  # far more than any instance of the tests took


@dataclass(frozen=True)
class TensorSplit:
    """moved [layers, edges], load [layers, gpus], largest [layers]: the maximum of load. bound [layers]: what a cut
    proves of every split; largest - bound is the most that the split is off the best, 0 once it is done."""

    moved: torch.Tensor
    load: torch.Tensor
    largest: torch.Tensor
    bound: torch.Tensor


def split_over_edges_torch(
    graph: RedundancyGraph, load: torch.Tensor, capacity: torch.Tensor, turns: int | None = None
) -> TensorSplit:
    """The least largest load that `split_over_edges` finds, for load [layers, gpus] and capacity [layers, edges].

    Push-relabel under Newton's limit, all layers and all GPUs at once. Each turn: (1) distances from every GPU to the
    nearest one below the limit, along edges that can still take load; (2) GPUs that can reach none cannot lose load, so
    if one of them is above the limit, their mean load is a cut's bound and becomes the limit; (3) every GPU above the
    limit pushes what is too much along edges one step nearer. A GPU at the limit never falls below it, so distances
    under one limit only grow, which is why push-relabel ends; a limit that is raised comes from another, tighter cut.

    What is exact: when no GPU is above the limit the split is optimal up to rounding (float64: 1e-13, float32: 1e-6 of
    the largest load). After any number of turns `load` is what `moved` gives and `bound` is proved.
    turns: None runs until all layers are done and reads one flag back per turn; a number runs exactly that many, with
    fixed shapes and nothing read back, so that the call can be captured in a CUDA graph; the call before the capture
    that PyTorch asks for takes the redundancy graph to the device, where it stays.
    """
    gpus = graph.gpus
    edges = _edges(gpus, graph.origin.tobytes(), graph.replica.tobytes(), load.device)
    moved = capacity * 0.5
    load = load.index_add(1, edges.origin, -moved).index_add(1, edges.replica, moved)
    residual = torch.cat([capacity - moved, moved], dim=1)[:, edges.order]
    limit = load.mean(dim=1)
    slack = load.amax(dim=1) * (1e-13 if load.dtype == torch.float64 else 1e-6)
    for _ in range(MOST_TURNS_PER_GPU * gpus if turns is None else turns):
        distance = _distances(load, residual, limit, slack, edges, turns is None)
        limit = _raise(load, distance, limit, slack)
        load, residual = _push(load, residual, distance, limit, slack, edges)
        if turns is None and not bool((load > (limit + slack)[:, None]).any()):
            break
    return TensorSplit(residual[:, edges.moves_back], load, load.amax(dim=1), limit)


class _Edges(NamedTuple):
    """Directed edges, both ways of each, sorted by tail by `order`.

    back: the opposite of each; start: where the edges of its tail begin; moves_back: the opposites of the given ones.
    """

    origin: torch.Tensor
    replica: torch.Tensor
    order: torch.Tensor
    tail: torch.Tensor
    head: torch.Tensor
    back: torch.Tensor
    start: torch.Tensor
    moves_back: torch.Tensor


@lru_cache(maxsize=64)
def _edges(gpus: int, origin: bytes, replica: bytes, device: torch.device) -> _Edges:
    graph = RedundancyGraph(gpus, np.frombuffer(origin, np.int64), np.frombuffer(replica, np.int64))
    both = np.concatenate([graph.origin, graph.replica])
    order = np.argsort(both, kind="stable")
    position = np.argsort(order)
    tail, head = both[order], np.concatenate([graph.replica, graph.origin])[order]
    back = np.concatenate([position[len(graph) :], position[: len(graph)]])[order]
    start = np.searchsorted(tail, tail)
    rows = (graph.origin, graph.replica, order, tail, head, back, start, position[len(graph) :])
    return _Edges(*(torch.tensor(row, device=device) for row in rows))


def _distances(
    load: torch.Tensor,
    residual: torch.Tensor,
    limit: torch.Tensor,
    slack: torch.Tensor,
    edges: _Edges,
    may_stop: bool,
) -> torch.Tensor:
    """Steps from each GPU to the nearest one below the limit, int64 [layers, gpus]; gpus where there is no way."""
    layers, gpus = load.shape
    far = torch.full_like(load, gpus, dtype=torch.long)
    distance = torch.where(load < (limit - slack)[:, None], torch.zeros_like(far), far)
    usable = residual > slack[:, None]
    into = edges.tail.expand(layers, -1)
    for _ in range(gpus - 1):
        through = torch.where(usable, distance[:, edges.head] + 1, far[:, :1])
        nearer = distance.scatter_reduce(1, into, through, "amin")
        if may_stop and bool((nearer == distance).all()):
            break
        distance = nearer
    return distance


def _raise(load: torch.Tensor, distance: torch.Tensor, limit: torch.Tensor, slack: torch.Tensor) -> torch.Tensor:
    """The limit, or the mean load of the GPUs that cannot lose any, where one of them is above it."""
    stuck = distance >= load.shape[1]
    matters = (stuck & (load > (limit + slack)[:, None])).any(dim=1)
    mean = (load * stuck).sum(dim=1) / stuck.sum(dim=1).clamp(min=1)
    return torch.where(matters, torch.maximum(limit, mean), limit)


def _push(
    load: torch.Tensor,
    residual: torch.Tensor,
    distance: torch.Tensor,
    limit: torch.Tensor,
    slack: torch.Tensor,
    edges: _Edges,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every GPU above the limit fills its edges that lead nearer, in order, with what it has too much."""
    tail, head = edges.tail, edges.head
    excess = (load - limit[:, None]).clamp(min=0)
    nearer = (distance[:, head] == distance[:, tail] - 1) & (residual > slack[:, None])
    room = torch.where(nearer, residual, torch.zeros_like(residual))
    before = room.cumsum(dim=1) - room
    flow = torch.minimum((excess[:, tail] - (before - before[:, edges.start])).clamp(min=0), room)
    residual = residual - flow + flow[:, edges.back]
    return load.index_add(1, tail, -flow).index_add(1, head, flow), residual
