"""Attacks on the bounds of expert placement and dispatch."""

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.experts import ExpertLoads, SearchOptions, place, placement_bound
from shadowprice.experts.dispatch import replica_cut_bound, split_over_replicas
from shadowprice.experts.gemm_time import GemmTime, split_by_tiles
from shadowprice.experts.optimum import exact_placement
from shadowprice.experts.place import Worth, objective
from shadowprice.experts.policies import POLICIES
from tests.attack.draw import Draw
from tests.attack.search import Attack
from tests.theorems.tiles_twin import fewest_seconds

BRIEF = SearchOptions(effort=0.01)


def _loads(draw: Draw, most_per_gpu: int) -> tuple[ExpertLoads, int, int]:
    """Few GPUs, experts and batches; loads from even to one hot expert: tokens, GPUs, slots."""
    gpus, per_gpu, batches = (
        draw.whole("gpus", 2, 4),
        draw.whole("per gpu", 1, most_per_gpu),
        draw.whole("batches", 1, 3),
    )
    experts = max(1, gpus * per_gpu - draw.whole("spare", 0, 4))
    steep = draw.pick("steep", (0.3, 1.0, 3.0))
    tokens = [int(10 ** (steep * draw.share("tokens"))) for _ in range(batches * experts)]
    shape = np.array(tokens, np.int64).reshape(batches, 1, experts)
    return ExpertLoads(shape, np.zeros(1, np.int64)), gpus, gpus * per_gpu


def placement_of_experts(draw: Draw) -> float | None:
    """Mean, or a quantile, of largest over mean GPU load under any placement: drawn, or found by local search."""
    loads, gpus, slots = _loads(draw, 4)
    quantile = draw.pick("quantile", (0.0, 0.5, 0.9, 1.0))
    rows = [_slots(draw, loads.experts, slots)]
    if draw.maybe("searched", 0.2):
        rows.append(place(loads, gpus, slots, np.random.default_rng(0), search=BRIEF).expert_of_slot[0])
    relative = loads.relative(gpus)[:, 0]
    best = min(float(objective(split_over_replicas(relative, row, gpus).largest, quantile)) for row in rows)
    return best / float(placement_bound(loads, gpus, slots, quantile)[0])


def _slots(draw: Draw, experts: int, slots: int) -> IntArray:
    """Expert of each slot: every one once, the spare slots any."""
    order = np.random.default_rng(draw.whole("order", 0, 99))
    return order.permutation(np.append(np.arange(experts), draw.wholes("replicas", slots - experts, 0, experts - 1)))


def placement_of_the_optimum(draw: Draw) -> float | None:
    """The exact placement of tiny instances, through HiGHS, in whole tokens."""
    loads, gpus, slots = _loads(draw, 2)
    tokens = loads.tokens[:, 0]
    if tokens.size > 12:
        return None
    row = exact_placement(tokens, gpus, slots)
    largest = split_over_replicas(loads.relative(gpus)[:, 0], row, gpus).largest
    return float(largest.mean()) / float(placement_bound(loads, gpus, slots)[0])


def dispatch_over_replicas(draw: Draw) -> float | None:
    """Any policy, or any split in whole tokens, over the min-cut of the exact split."""
    loads, gpus, slots = _loads(draw, 5)
    counts = loads.tokens[:, 0].astype(float)
    row, rng = _slots(draw, loads.experts, slots), np.random.default_rng(0)
    exact = split_over_replicas(counts, row, gpus)
    total = np.maximum(counts.sum(axis=1), 1)
    proved = np.array([replica_cut_bound(counts[b], row, gpus, exact.cut[b]) for b in range(len(counts))])
    reached = [POLICIES[name](counts, row, gpus, rng).max(axis=1) for name in ("even", "random", "optimal")]
    return float((np.min(reached, axis=0) / total).max() / (proved / total).max())


def dispatch_by_tiles(draw: Draw) -> float | None:
    """The exact optimum in seconds of tiles and weights, through HiGHS, over the bound of the fast split."""
    gpus, per_gpu = draw.whole("gpus", 2, 3), draw.whole("per gpu", 1, 2)
    experts = max(1, gpus * per_gpu - draw.whole("spare", 0, 3))
    counts = draw.wholes("counts", experts, 0, 9).astype(float) * 40
    row = _slots(draw, experts, gpus * per_gpu)
    if counts.sum() == 0:
        return None
    gemm = GemmTime(tile_rows=64, tile_s=1.0, weight_s=float(draw.whole("weight", 0, 6)))
    return fewest_seconds(counts, row, gpus, gemm, unit_s=1.0) / float(
        split_by_tiles(counts[None], row, gpus, gemm).bound_s[0]
    )


def placement_by_seconds(draw: Draw) -> float | None:
    """Seconds of the slowest GPU under a placement, drawn or found by local search, split by time or even."""
    loads, gpus, slots = _loads(draw, 4)
    gemm = GemmTime(draw.pick("rows", (1, 16, 64)), 1.0, draw.pick("weight", (0.0, 0.5, 2.0, 20.0)))
    dispatch = draw.pick("dispatch", ("even", "optimal"))
    rows = [_slots(draw, loads.experts, slots)]
    if draw.maybe("searched", 0.2):
        ours = place(loads, gpus, slots, np.random.default_rng(0), dispatch=dispatch, search=BRIEF, gemm=gemm)
        rows.append(ours.expert_of_slot[0])
    worth = Worth(loads, gpus, dispatch, gemm=gemm)
    return min(worth(0, row) for row in rows) / float(placement_bound(loads, gpus, slots, gemm=gemm)[0])


ATTACKS: tuple[Attack, ...] = (
    placement_of_experts,
    placement_by_seconds,
    placement_of_the_optimum,
    dispatch_over_replicas,
    dispatch_by_tiles,
)
