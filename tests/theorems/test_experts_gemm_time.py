"""Tries to break dispatch and placement by time: exact where they say so, valid bounds where they do not."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from tiles_twin import fewest_seconds, improve, seconds, whole_experts

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts import (
    ExpertLoads,
    Placement,
    SearchOptions,
    dirichlet_loads,
    eplb,
    place,
    placement_bound,
    split_over_replicas,
)
from shadowprice.experts.gemm_time import GemmTime, split_by_tiles
from shadowprice.experts.place import Dispatch, Worth
from shadowprice.experts.timed import SPLITS, gpu_seconds


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


def test_seconds_of_parts_are_never_less_than_of_the_whole() -> None:
    """Subadditive, in whole and in broken tokens: what every bound in seconds rests on."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        gemm = GemmTime(int(rng.integers(1, 9)), float(rng.random() + 0.01), float(rng.choice([0.0, rng.random()])))
        parts = rng.choice([0.0, 1.0, rng.random() * 20, float(rng.integers(0, 30))], int(rng.integers(1, 6)))
        assert gemm.of(parts).sum() >= float(gemm.of(parts.sum())) * (1 - 1e-12)


def test_tiles_without_weights_are_split_exactly() -> None:
    for seed in range(60):
        counts, row, gpus, _ = small(seed)
        if len(counts) > 3:
            continue
        gemm = GemmTime(tile_rows=3, tile_s=2.0)
        split = split_by_tiles(counts[None], row, gpus, gemm)
        best = min(seconds(way, gemm).max() for way in every_split(counts, row, gpus))
        assert split.time_s.max() == pytest.approx(best)
        assert split.exact.all()
        assert np.array_equal(tokens_of_experts(split.tokens[0], row), counts)


def tokens_of_experts(of_slots: FloatArray, row: IntArray) -> FloatArray:
    return np.bincount(row, weights=of_slots)


def test_tiles_with_weights_lie_between_bound_and_exact_optimum_and_heuristic() -> None:
    ratios, closed = [], 0
    for seed in range(60):
        counts, row, gpus, rng = small(seed)
        counts = counts * 40
        if counts.sum() == 0:
            continue
        gemm = GemmTime(tile_rows=64, tile_s=1.0, weight_s=float(rng.integers(1, 6)))
        split = split_by_tiles(counts[None], row, gpus, gemm)
        best = fewest_seconds(counts, row, gpus, gemm, unit_s=1.0)
        assert split.bound_s[0] <= best * (1 + 1e-9), seed
        assert best <= split.time_s.max() * (1 + 1e-9), seed
        assert np.array_equal(tokens_of_experts(split.tokens[0], row), counts)
        assert np.allclose(gemm.of(split.tokens).reshape(gpus, -1).sum(axis=1), split.time_s)
        ratios.append(split.time_s.max() / best)
        closed += bool(split.exact[0])
    assert np.mean(ratios) < 1.03
    assert closed > 10


def test_the_kernel_moves_as_the_twin_that_tries_every_amount() -> None:
    """The same slowest GPU, and tiles of each expert kept; where amounts tie they may differ, so times decide."""
    for seed in range(80):
        counts, row, gpus, rng = small(seed)
        counts = counts * int(rng.integers(1, 200))
        gemm = GemmTime(64, 1.0, float(rng.choice([0.5, 1.0, 3.0])))
        tiles = np.ceil(counts / 64)
        held = Placement(row[None], gpus, len(counts)).holds()[0]
        flow = split_over_replicas(tiles[None], row, gpus, integral=True).tokens[0]
        ways = (improve(start, held, gemm) for start in (flow, whole_experts(tiles, held)))
        twin = min(seconds(way * 64, gemm).max() for way in ways)
        found = split_by_tiles(counts[None], row, gpus, gemm)
        assert found.time_s.max() == pytest.approx(twin, rel=0.1), seed
        assert np.array_equal(tokens_of_experts(found.tokens[0], row), counts)


def test_a_split_by_tokens_can_be_slower_than_one_by_tiles() -> None:
    """Two experts on both of two GPUs: parting both by tokens reads four sets of weights, keeping them whole two."""
    counts, row = np.array([65.0, 60.0]), np.array([0, 1, 0, 1])
    gemm = GemmTime(tile_rows=64, tile_s=1.0, weight_s=10.0)
    by_tokens = gpu_seconds(counts[None], row, 2, gemm, "tokens").max()
    assert split_by_tiles(counts[None], row, 2, gemm).time_s.max() <= 12.0 < by_tokens


def every_placement(experts: int, gpus: int, per_gpu: int) -> Iterator[IntArray]:
    """Rows of slots with every expert somewhere; GPUs are alike, so their order does not matter."""
    on_one = list(combinations_with_replacement(range(experts), per_gpu))
    for chosen in combinations_with_replacement(on_one, gpus):
        row = np.array(chosen).ravel()
        if len(np.unique(row)) == experts:
            yield row


def test_no_placement_and_no_split_is_faster_than_the_bound() -> None:
    """Against the exact optimum over every placement of tiny instances, several batches at once."""
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        experts, gpus, per_gpu = int(rng.integers(2, 4)), 2, int(rng.integers(2, 4))
        if experts > gpus * per_gpu:
            continue
        tokens = rng.integers(0, 200, (int(rng.integers(1, 3)), 1, experts))
        tokens[:, :, 0] += int(rng.choice([0, 500]))  # sometimes one expert that no GPU can hold alone
        if not tokens.any(axis=2).all():
            continue
        gemm = GemmTime(64, 1.0, float(rng.integers(0, 4)))
        loads = ExpertLoads(tokens, np.zeros(1, np.int64))
        mean_s = gemm.of(tokens[:, 0].astype(float)).sum(axis=1) / gpus
        best = min(
            np.mean([fewest_seconds(batch.astype(float), row, gpus, gemm, 1.0) for batch in tokens[:, 0]] / mean_s)
            for row in every_placement(experts, gpus, per_gpu)
        )
        bound = placement_bound(loads, gpus, gpus * per_gpu, gemm=gemm)[0]
        assert bound <= best * (1 + 1e-9), seed
        ratios.append(bound / best)
    assert np.mean(ratios) > 0.85 and max(ratios) > 1 - 1e-9


@pytest.mark.parametrize("dispatch", ["even", "optimal"])
def test_ours_is_never_slower_than_eplb_on_the_same_loads(dispatch: Dispatch) -> None:
    gemm = GemmTime(16, 1.0, 2.0)
    for seed in range(4):
        loads = dirichlet_loads(
            np.random.default_rng(seed), layers=2, experts=12, batches=4, batch_tokens=64, top_k=2, concentration=0.5
        )
        worth = Worth(loads, 4, dispatch, gemm=gemm)
        brief = SearchOptions(effort=0.02)
        ours = place(loads, 4, 16, np.random.default_rng(seed), dispatch=dispatch, search=brief, gemm=gemm)
        greedy = eplb(loads.totals, 16, 4)
        bound = placement_bound(loads, 4, 16, gemm=gemm)
        for layer, (here, there) in enumerate(zip(ours.expert_of_slot, greedy.expert_of_slot, strict=True)):
            assert bound[layer] * (1 - 1e-9) <= worth(layer, here) <= worth(layer, there)


def test_no_split_beats_the_split_by_time_by_much_and_none_its_bound() -> None:
    rng = np.random.default_rng(1)
    for seed in range(40):
        counts, row, gpus, _ = small(seed)
        counts = counts * 30
        gemm = GemmTime(64, 1.0, 1.0)
        split = split_by_tiles(counts[None], row, gpus, gemm)
        for dispatch in SPLITS:
            slowest_s = gpu_seconds(counts[None], row, gpus, gemm, dispatch, rng).max()
            assert split.bound_s[0] <= slowest_s * (1 + 1e-9)


def test_impossible_times_are_refused() -> None:
    with pytest.raises(ExpertError, match="tile_rows >= 1"):
        GemmTime(0, 1.0)
