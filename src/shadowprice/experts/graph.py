"""LPLB's redundancy graph: which GPU's experts have a replica on which other GPU."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.errors import ExpertError


@dataclass(frozen=True)
class RedundancyGraph:
    """Edge i: some experts of GPU origin[i] have a replica on GPU replica[i].

    origin, replica: int64 [edges]. `adjacency` is what the flow kernel walks: int64 [4, max(gpus + 1, 2 edges)], rows
    first, head, back (see `_flow_kernel`), and the position of each edge's two directions (2i, 2i + 1).
    Raises ExpertError where an edge leaves the range of GPUs or joins a GPU to itself.
    """

    gpus: int
    origin: IntArray
    replica: IntArray
    adjacency: IntArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        both = np.concatenate([self.origin, self.replica])
        if len(self.origin) != len(self.replica) or both.dtype != np.int64:
            raise ExpertError("redundancy graph: origin and replica must be int64 arrays of one length")
        if self.gpus < 1 or np.any((both < 0) | (both >= self.gpus)):
            raise ExpertError(f"redundancy graph: an edge names a GPU outside 0 to {self.gpus - 1}")
        if np.any(self.origin == self.replica):
            i = int(np.argmax(self.origin == self.replica))
            raise ExpertError(f"redundancy graph: edge {i} joins GPU {self.origin[i]} to itself")
        object.__setattr__(self, "adjacency", _adjacency(self.gpus, self.origin, self.replica))

    def __len__(self) -> int:
        return len(self.origin)


def _adjacency(gpus: int, origin: IntArray, replica: IntArray) -> IntArray:
    tail = np.stack([origin, replica], axis=1).ravel()
    head = np.stack([replica, origin], axis=1).ravel()
    order = np.argsort(tail, kind="stable")
    position = np.empty(len(tail), np.int64)
    position[order] = np.arange(len(tail))
    rows = np.zeros((4, max(gpus + 1, len(tail))), np.int64)
    rows[0, 1 : gpus + 1] = np.cumsum(np.bincount(tail, minlength=gpus))
    rows[1, : len(tail)] = head[order]
    rows[2, position] = position.reshape(-1, 2)[:, ::-1].ravel()
    rows[3, : len(tail)] = position
    return rows


def _edges(gpus: int, pairs: list[tuple[int, int]]) -> RedundancyGraph:
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    return RedundancyGraph(gpus, ends[:, 0].copy(), ends[:, 1].copy())


def ring(gpus: int) -> RedundancyGraph:
    """Each GPU's experts have a replica on the next GPU."""
    return _edges(gpus, [(g, (g + 1) % gpus) for g in range(gpus)])


def hypercube(dimensions: int) -> RedundancyGraph:
    """2^d GPUs, a replica on each GPU whose number differs in one bit (LPLB: cube d = 3, hypercube d = 4)."""
    gpus = 1 << dimensions
    return _edges(gpus, [(g, g ^ (1 << k)) for g in range(gpus) for k in range(dimensions)])


def cubes(count: int) -> RedundancyGraph:
    """`count` machines of 8 GPUs, a cube inside each, and a ring over the machines for each of the 8 places."""
    inside = [(8 * m + g, 8 * m + (g ^ bit)) for m in range(count) for g in range(8) for bit in (1, 2, 4)]
    across = [(8 * m + g, 8 * ((m + 1) % count) + g) for m in range(count) for g in range(8)] if count > 1 else []
    return _edges(8 * count, inside + across)


def torus(rows: int, columns: int) -> RedundancyGraph:
    """Each GPU has a replica on its right and its lower neighbour, around the ends (LPLB: across machines)."""
    if rows < 2 or columns < 2:
        raise ExpertError(f"torus of {rows} x {columns} GPUs: expected at least 2 x 2")
    place = [(r, c) for r in range(rows) for c in range(columns)]
    right = [(r * columns + c, r * columns + (c + 1) % columns) for r, c in place]
    return _edges(rows * columns, right + [(r * columns + c, (r + 1) % rows * columns + c) for r, c in place])


def from_lplb(redundant_to_original: npt.NDArray[np.integer]) -> RedundancyGraph:
    """LPLB's matrix [gpus, redundants]: GPU g's j-th redundant slot is a copy of GPU matrix[g, j]'s j-th expert."""
    gpus, redundants = redundant_to_original.shape
    origin = redundant_to_original.astype(np.int64).ravel()
    return RedundancyGraph(gpus, origin, np.repeat(np.arange(gpus), redundants))
