"""Splits in tiles, written for reading; and the exact optimum of small instances through HiGHS."""

import numpy as np

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.experts import Placement
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.optimize import LinearProgram, solve


def seconds(tokens: FloatArray, gemm: GemmTime) -> FloatArray:
    """Time of each GPU for tokens [experts, gpus]."""
    return np.asarray(gemm.of(tokens).sum(axis=0))


def whole_experts(tiles: FloatArray, held: BoolArray) -> FloatArray:
    """Each expert on one of its GPUs, the largest first, on the one with least work so far."""
    placed = np.zeros(held.shape)
    for e in np.argsort(-tiles, kind="stable"):
        gpu = min(np.flatnonzero(held[e]), key=lambda g: placed[:, g].sum())
        placed[e, gpu] = tiles[e]
    return placed


def improve(tiles: FloatArray, held: BoolArray, gemm: GemmTime) -> FloatArray:
    """Move tiles off a slowest GPU while the slower of the two GPUs gets faster than that; every amount is tried."""
    tiles = tiles.copy()
    while True:
        time_s = seconds(tiles * gemm.tile_rows, gemm)
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


def fewest_seconds(counts: FloatArray, expert_of_slot: IntArray, gpus: int, gemm: GemmTime, unit_s: float) -> float:
    """The exact optimum; both times of `gemm` must be whole multiples of unit_s.

    Columns, all whole: per holder (e, g) the tiles k and a = 1 if any; last the makespan in units. Rows: all tiles of e
    placed; k <= tiles[e] * a; sum over e of weight a + tile k <= makespan.
    """
    tiles = np.ceil(counts / gemm.tile_rows)
    weight, tile = (round(value / unit_s) for value in (gemm.weight_s, gemm.tile_s))
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
