"""Tries to break the dispatch by time: exact where it says so, a valid bound where it does not."""

from itertools import product

import numpy as np
import pytest

from shadowprice.errors import ExpertError
from shadowprice.experts import split_over_replicas
from shadowprice.experts.gemm_time import GemmTime, fewest_seconds, split_by_gpu_time, split_by_tiles


def small(seed: int) -> tuple[np.ndarray, np.ndarray, int, np.random.Generator]:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    gpus, per_gpu = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    experts = int(rng.integers(1, gpus * per_gpu + 1))
    row = rng.permutation(np.append(np.arange(experts), rng.integers(0, experts, gpus * per_gpu - experts)))
    return rng.integers(0, 9, experts).astype(float), row, gpus, rng


def every_split(counts: np.ndarray, row: np.ndarray, gpus: int):  # type: ignore[no-untyped-def, type-arg]
    """All splits in whole tokens, [experts, gpus]."""
    per_gpu = len(row) // gpus
    choices = []
    for e, n in enumerate(counts.astype(int)):
        holders = sorted({int(p) // per_gpu for p in np.flatnonzero(row == e)})
        ways = []
        for parts in product(range(n + 1), repeat=len(holders) - 1):
            if sum(parts) <= n:
                way = np.zeros(gpus)
                way[holders] = [*parts, n - sum(parts)]
                ways.append(way)
        choices.append(ways)
    for chosen in product(*choices):
        yield np.array(chosen)


def test_any_time_per_gpu_is_split_exactly() -> None:
    done = 0
    for seed in range(150):
        counts, row, gpus, rng = small(seed)
        counts = np.minimum(counts, 4)
        if len(counts) > 4:
            continue
        steps = rng.choice([0.0, 0.0, 1.0, 5.0], (gpus, int(counts.sum()) + 1)) * rng.random((gpus, 1))
        seconds = np.cumsum(steps, axis=1)  # a staircase of its own on each GPU
        split = split_by_gpu_time(counts, row, gpus, seconds)
        every = (split_ for split_ in every_split(counts, row, gpus))
        best = min(max(seconds[g, int(way[:, g].sum())] for g in range(gpus)) for way in every)
        assert split.time_s.max() == best == split.bound_s
        assert split.exact
        assert np.array_equal(split.tokens.sum(axis=1), counts)
        done += 1
    assert done > 40


def test_tiles_without_weights_are_split_exactly() -> None:
    for seed in range(60):
        counts, row, gpus, _ = small(seed)
        if len(counts) > 3:
            continue
        gemm = GemmTime(tile_rows=3, tile_s=2.0)
        split = split_by_tiles(counts, row, gpus, gemm)
        best = min(gemm.seconds(way).max() for way in every_split(counts, row, gpus))
        assert split.time_s.max() == pytest.approx(best)
        assert split.exact
        assert np.array_equal(split.tokens.sum(axis=1), counts)


def test_tiles_with_weights_lie_between_bound_and_exact_optimum_and_heuristic() -> None:
    ratios, closed = [], 0
    for seed in range(60):
        counts, row, gpus, rng = small(seed)
        counts = counts * 40
        if counts.sum() == 0:
            continue
        gemm = GemmTime(tile_rows=64, tile_s=1.0, weight_s=float(rng.integers(1, 6)))
        split = split_by_tiles(counts, row, gpus, gemm)
        best = fewest_seconds(counts, row, gpus, gemm, unit_s=1.0)
        assert split.bound_s <= best * (1 + 1e-9), seed
        assert best <= split.time_s.max() * (1 + 1e-9), seed
        assert np.array_equal(split.tokens.sum(axis=1), counts)
        assert np.allclose(gemm.seconds(split.tokens), split.time_s)
        ratios.append(split.time_s.max() / best)
        closed += split.exact
    assert np.mean(ratios) < 1.03
    assert closed > 10


def test_a_split_by_tokens_can_be_slower_than_one_by_tiles() -> None:
    """Two experts on both of two GPUs: parting both by tokens reads four sets of weights, keeping them whole two."""
    counts, row = np.array([65.0, 60.0]), np.array([0, 1, 0, 1])
    gemm = GemmTime(tile_rows=64, tile_s=1.0, weight_s=10.0)
    by_tokens = gemm.seconds(split_over_replicas(counts[None], row, 2, integral=True).tokens[0]).max()
    assert split_by_tiles(counts, row, 2, gemm).time_s.max() <= 12.0 < by_tokens


def test_times_that_fall_with_tokens_are_refused() -> None:
    with pytest.raises(ExpertError, match="non-decreasing"):
        split_by_gpu_time(np.array([1.0]), np.array([0]), 1, np.array([[1.0, 0.0]]))
    with pytest.raises(ExpertError, match="tile_rows >= 1"):
        GemmTime(0, 1.0)
