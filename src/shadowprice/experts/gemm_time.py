"""Dispatch when a GPU's time is not its token count: any non-decreasing time per GPU, or tiles and weights per expert.

Grouped matrix products run in tiles of 64 or 128 rows, and an expert that gets any token at all must have its weights
read. So 65 tokens cost as much as 128, and a replica with one token costs a whole expert's weights.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts.dispatch import Cut, split_over_replicas
from shadowprice.experts.problem import Placement
from shadowprice.optimize import LinearProgram, solve


@dataclass(frozen=True)
class GemmTime:
    """An expert with x > 0 tokens on a GPU takes weight_s + tile_s * ceil(x / tile_rows) there [s]."""

    tile_rows: int
    tile_s: float
    weight_s: float = 0.0

    def __post_init__(self) -> None:
        if self.tile_rows < 1 or not self.tile_s > 0 or not self.weight_s >= 0:
            raise ExpertError(f"{self}: expected tile_rows >= 1, tile_s > 0 and weight_s >= 0")

    def seconds(self, tokens: FloatArray) -> FloatArray:
        """Time of each GPU [..., gpus] for whole tokens [..., experts, gpus]."""
        each = self.weight_s * (tokens > 0) + self.tile_s * np.ceil(tokens / self.tile_rows)
        return np.asarray(each.sum(axis=-2))


@dataclass(frozen=True)
class TimeSplit:
    """tokens: whole, [experts, gpus]. time_s [gpus]. bound_s: no split's slowest GPU is faster; exact if they meet."""

    tokens: FloatArray
    time_s: FloatArray
    bound_s: float
    cut: Cut

    @property
    def exact(self) -> bool:
        """Whether the slowest GPU is proved to be as fast as it can be."""
        return float(self.time_s.max()) <= self.bound_s * (1 + 1e-9)


def split_by_gpu_time(counts: FloatArray, expert_of_slot: IntArray, gpus: int, seconds: FloatArray) -> TimeSplit:
    """Exact split in whole tokens when GPU g with u tokens in all takes seconds[g, u], non-decreasing in u.

    counts: [experts] whole tokens of one batch. seconds: [gpus, at least sum(counts) + 1]; convex or not, a staircase
    of tiles or a slower GPU are all allowed.

    Exact (ours): a makespan T can be kept iff tokens fit with at most u_g(T) = max{u: seconds[g, u] <= T} on GPU g.
    With a fixed load of max u - u_g put on each GPU that is a min-max split of value <= max u, one call of the kernel.
    T only matters at the values in `seconds`: bisection over them ends at the least that fits. `cut` is the set of GPUs
    that proves that the next smaller one does not.
    """
    total = int(counts.sum())
    if seconds.shape[0] != gpus or seconds.shape[1] <= total or np.any(np.diff(seconds, axis=1) < 0):
        raise ExpertError(f"seconds {list(seconds.shape)}: expected [{gpus}, > {total}], non-decreasing in tokens")
    table = seconds[:, : total + 1]
    values = np.unique(table)
    low, high = -1, len(values) - 1
    tokens, cut = _fit(counts, expert_of_slot, gpus, table, values[high])
    if tokens is None:
        raise AssertionError("every token fits on any GPU at the largest time")
    while high - low > 1:
        middle = (low + high) // 2
        found, cut_here = _fit(counts, expert_of_slot, gpus, table, values[middle])
        if found is None:
            low, cut = middle, cut_here
        else:
            high, tokens = middle, found
    time_s = table[np.arange(gpus), tokens.sum(axis=0).astype(np.int64)]
    return TimeSplit(tokens, time_s, float(values[high]), cut)


def _fit(
    counts: FloatArray, expert_of_slot: IntArray, gpus: int, table: FloatArray, limit_s: float
) -> tuple[FloatArray | None, Cut]:
    """Tokens [experts, gpus] that keep every GPU within the limit, or None and the GPUs that cannot."""
    room = np.array([np.searchsorted(row, limit_s, side="right") - 1 for row in table], np.float64)
    if room.min() < 0:
        return None, (room < 0).astype(np.uint8)
    experts = len(counts)
    # a pinned expert on each GPU stands for what the GPU may not take
    slots = np.column_stack([expert_of_slot.reshape(gpus, -1), experts + np.arange(gpus)]).ravel()
    split = split_over_replicas(np.append(counts, room.max() - room)[None], slots, gpus, integral=True)
    if split.largest[0] > room.max():
        return None, split.cut[0]
    return split.tokens[0, :experts], split.cut[0]


def split_by_tiles(counts: FloatArray, expert_of_slot: IntArray, gpus: int, gemm: GemmTime) -> TimeSplit:
    """Split of one batch [experts] of whole tokens for the least slowest GPU under GemmTime, with a bound (ours).

    Without weight_s it is exact: ceil(x / rows) summed over an expert's GPUs is at least ceil(n / rows), so no split
    does better than the best integral split of ceil(n / rows) tiles, and that one can be carried out, the last tile
    of each expert being the partial one.
    With weight_s it is a heuristic (each active replica costs, which makes it a scheduling problem with set-up times):
    from the tile split and from whole experts on the least loaded GPU, tiles or whole replicas move off the slowest GPU
    while that helps. Bound: over its replicas expert e takes at least weight_s + tile_s * ceil(n / rows), however it is
    split; so the min-max split of those seconds, parted at will, is a lower bound, and the kernel computes it.
    """
    tiles = np.ceil(counts / gemm.tile_rows)
    held = Placement(expert_of_slot[None], gpus, len(counts)).holds()[0]
    least = split_over_replicas((gemm.tile_s * tiles + gemm.weight_s * (tiles > 0))[None], expert_of_slot, gpus)
    flow = split_over_replicas(tiles[None], expert_of_slot, gpus, integral=True)
    if gemm.weight_s == 0:
        found, bound_s, cut = flow.tokens[0], gemm.tile_s * float(flow.largest[0]), flow.cut[0]
    else:
        starts = (flow.tokens[0], _whole_experts(tiles, held))
        found = min((_improve(start, held, gemm) for start in starts), key=lambda t: _tile_seconds(t, gemm).max())
        bound_s, cut = float(least.largest[0]), least.cut[0]
    tokens = _in_tokens(found, counts, gemm.tile_rows)
    return TimeSplit(tokens, gemm.seconds(tokens), bound_s, cut)


def _tile_seconds(tiles: FloatArray, gemm: GemmTime) -> FloatArray:
    return np.asarray((gemm.weight_s * (tiles > 0) + gemm.tile_s * tiles).sum(axis=0))


def _whole_experts(tiles: FloatArray, held: npt.NDArray[np.bool_]) -> FloatArray:
    """Each expert on one of its GPUs, the largest first, on the one with least work so far."""
    placed = np.zeros(held.shape)
    for e in np.argsort(-tiles, kind="stable"):
        gpu = min(np.flatnonzero(held[e]), key=lambda g: placed[:, g].sum())
        placed[e, gpu] = tiles[e]
    return placed


def _improve(tiles: FloatArray, held: npt.NDArray[np.bool_], gemm: GemmTime) -> FloatArray:
    """Move tiles off a slowest GPU while the slower of the two GPUs gets faster than that; ends, for the sorted times
    fall in lexicographic order at each move."""
    tiles = tiles.copy()
    while True:
        time_s = _tile_seconds(tiles, gemm)
        slow = int(np.argmax(time_s))
        best_s, move = time_s[slow] * (1 - 1e-12), None
        for e in np.flatnonzero(tiles[:, slow] > 0):
            here = tiles[e, slow]
            for g in np.flatnonzero(held[e]):
                if g == slow:
                    continue
                start_s = gemm.weight_s * (tiles[e, g] == 0)
                amount = np.arange(1.0, here + 1)
                left_s = time_s[slow] - gemm.tile_s * amount - gemm.weight_s * (amount == here)
                slower_s = np.maximum(left_s, time_s[g] + start_s + gemm.tile_s * amount)
                k = int(np.argmin(slower_s))
                if slower_s[k] < best_s:
                    best_s, move = slower_s[k], (e, g, amount[k])
        if move is None:
            return tiles
        e, g, amount_moved = move
        tiles[e, slow] -= amount_moved
        tiles[e, g] += amount_moved


def _in_tokens(tiles: FloatArray, counts: FloatArray, rows: int) -> FloatArray:
    """Full tiles, except that each expert's last tile, on the last GPU that has one, holds what is left."""
    tokens = tiles * rows
    over = tokens.sum(axis=1) - counts
    for e in np.flatnonzero(over > 0):
        tokens[e, np.flatnonzero(tiles[e])[-1]] -= over[e]
    return tokens


def fewest_seconds(counts: FloatArray, expert_of_slot: IntArray, gpus: int, gemm: GemmTime, unit_s: float) -> float:
    """The exact optimum of a small instance through HiGHS; both times of `gemm` must be whole multiples of unit_s.

    Columns, all whole: per holder (e, g) the tiles k and a = 1 if any; last the makespan in units. Rows: all tiles of e
    placed; k <= tiles[e] * a; sum over e of weight a + tile k <= makespan.
    """
    tiles = np.ceil(counts / gemm.tile_rows)
    weight, tile = (round(seconds / unit_s) for seconds in (gemm.weight_s, gemm.tile_s))
    expert, gpu = np.nonzero(Placement(expert_of_slot[None], gpus, len(counts)).holds()[0])
    n, experts = len(expert), len(counts)
    link, last = experts + np.arange(n), experts + n
    index = [*np.column_stack([expert, link, last + gpu]), *np.column_stack([link, last + gpu]), last + np.arange(gpus)]
    value = [np.array([1.0, 1.0, tile])] * n + [np.array([-tiles[e], weight]) for e in expert] + [np.full(gpus, -1.0)]
    total = float((tiles.sum() * tile + n * weight) + 1)
    program = LinearProgram(
        cost=np.append(np.zeros(2 * n), 1.0),
        upper=np.concatenate([tiles[expert], np.ones(n), [total]]),
        row_lower=np.concatenate([tiles, np.full(n + gpus, -np.inf)]),
        row_upper=np.concatenate([tiles, np.zeros(n + gpus)]),
        start=np.concatenate([[0], np.cumsum([len(rows) for rows in index])]).astype(np.int64),
        index=np.concatenate(index).astype(np.int64),
        value=np.concatenate(value).astype(np.float64),
        integer=True,
    )
    return round(solve(program).value) * unit_s
