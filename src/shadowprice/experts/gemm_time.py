"""Dispatch when a GPU's time is not its token count: grouped matrix products, in tiles, with weights to be read.

They run in tiles of 64 or 128 rows, and an expert that gets any token at all must have its weights read. So 65 tokens
cost as much as 128, and a replica with one token costs a whole expert's weights: a split that evens out tokens over
replicas can be slower than one that leaves experts whole.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.errors import ExpertError, FleetError
from shadowprice.experts._dispatch_kernel import split_placement
from shadowprice.experts._tiles_kernel import move_off_the_slowest, whole_experts
from shadowprice.experts.dispatch import split_over_replicas
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.formats import WEIGHT_BITS
from shadowprice.fleet.roofline import Efficiency
from shadowprice.options import Options

TILE_ROWS = 64


@dataclass(frozen=True)
class GemmTime(Options):
    """What a replica with x > 0 tokens takes: weight_s + tile_s * ceil(x / tile_rows), and nothing without tokens.

    Parameters
    ----------
    tile_rows : int
        Tokens that a tile holds.
    tile_s : float
        Seconds of a tile's products.
    weight_s : float
        Seconds of reading an expert's weights.

    Raises
    ------
    ExpertError
        When a number is impossible.
    """

    tile_rows: int
    tile_s: float
    weight_s: float = 0.0

    def __post_init__(self) -> None:
        if self.tile_rows < 1 or not self.tile_s > 0 or not self.weight_s >= 0:
            raise ExpertError(f"{self}: expected tile_rows >= 1, tile_s > 0 and weight_s >= 0")

    def of(self, tokens: FloatArray) -> FloatArray:
        """Seconds of each replica, for tokens of any shape.

        Subadditive: of(x + y) <= of(x) + of(y), since ceil(x + y) <= ceil(x) + ceil(y) and weights are read once
        instead of twice. So an expert's replicas together never take less than `of` all its tokens.
        """
        return np.asarray(self.weight_s * (tokens > 0) + self.tile_s * np.ceil(tokens / self.tile_rows))


def gemm_time_of(fleet: Fleet, tile_rows: int = TILE_ROWS) -> GemmTime:
    """Times of an expert of the fleet's model on one of its GPUs, at the shares of the peak rates that engines reach.

    Raises FleetError where the fleet names no GPU, or no model with experts.
    """
    if fleet.gpu is None or fleet.model is None or not fleet.model.expert_parameters:
        found = "names no GPU" if fleet.gpu is None else "serves no model with experts"
        raise FleetError(
            f"{fleet.name}: {found}, so what an expert's products take is not known; expected a fleet with [gpu] and a "
            "[model] that has experts, or a cost in tokens"
        )
    efficiency, bits = Efficiency(), WEIGHT_BITS[fleet.model.dtype]
    parameters = fleet.model.expert_parameters
    products_per_s = fleet.gpu.flops_per_s(bits) * efficiency.expert_products / 2
    bytes_per_s = fleet.gpu.hbm_bandwidth_bytes_per_s * efficiency.weights
    return GemmTime(tile_rows, tile_rows * parameters / products_per_s, parameters * bits / 8 / bytes_per_s)


@dataclass(frozen=True)
class TileSplit:
    """tokens: whole, of each slot [batches, slots]. time_s [batches, gpus]. bound_s [batches]: no split's slowest GPU
    is faster."""

    tokens: FloatArray
    time_s: FloatArray
    bound_s: FloatArray

    @property
    def exact(self) -> BoolArray:
        """Whether the slowest GPU of each batch is proved to be as fast as it can be."""
        return np.asarray(self.time_s.max(axis=1) <= self.bound_s * (1 + 1e-9))


def split_by_tiles(counts: FloatArray, expert_of_slot: IntArray, gpus: int, gemm: GemmTime) -> TileSplit:
    """Split of each batch for the least slowest GPU under GemmTime, with a bound (ours).

    counts: [batches, experts], whole tokens; expert_of_slot: int64 [slots], one layer of a Placement.

    Without weight_s it is exact: ceil(x / rows) summed over an expert's GPUs is at least ceil(n / rows), so no split
    does better than the best integral split of ceil(n / rows) tiles, and that one can be carried out, the last tile
    of each expert being the partial one.
    With weight_s it is a heuristic (each active replica costs, which makes it a scheduling problem with set-up times):
    from the tile split and from whole experts on the least loaded GPU, tiles or whole replicas move off the slowest GPU
    while that helps. Bound: over its replicas expert e takes at least `of` its tokens however it is split (GemmTime.of
    is subadditive); so the min-max split of those seconds, parted at will, is a lower bound, which the flow kernel
    computes.
    """
    tiles = np.ceil(counts / gemm.tile_rows)
    # for its checks, and the bound: what each expert takes at least, parted at will
    bound_s = split_over_replicas(gemm.of(counts), expert_of_slot, gpus).largest
    gpu_of_slot = np.arange(len(expert_of_slot)) // (len(expert_of_slot) // gpus)
    first, holder, flow, largest, _ = split_placement(tiles, gpu_of_slot, expert_of_slot, gpus, True)
    owner = np.repeat(np.arange(counts.shape[1]), np.diff(first))
    time_s = np.empty((len(counts), gpus))
    found = np.rint(flow)
    move_off_the_slowest(found, first, holder, owner, gpus, gemm.weight_s, gemm.tile_s, time_s)
    if gemm.weight_s == 0:
        bound_s = gemm.tile_s * largest
    else:
        whole, whole_s = np.empty_like(found), np.empty_like(time_s)
        whole_experts(tiles, first, holder, gpus, np.argsort(-tiles, axis=1, kind="stable"), whole)
        move_off_the_slowest(whole, first, holder, owner, gpus, gemm.weight_s, gemm.tile_s, whole_s)
        better = whole_s.max(axis=1) < time_s.max(axis=1)
        found[better], time_s[better] = whole[better], whole_s[better]
    slot_of_holder = np.full((counts.shape[1], gpus), -1)
    slot_of_holder[expert_of_slot[::-1], gpu_of_slot[::-1]] = np.arange(len(expert_of_slot))[::-1]
    tokens = np.zeros((len(counts), len(expert_of_slot)))
    tokens[:, slot_of_holder[owner, holder]] = _in_tokens(found, counts, owner, gemm.tile_rows)
    return TileSplit(tokens, time_s, bound_s)


def _in_tokens(tiles: FloatArray, counts: FloatArray, owner: IntArray, rows: int) -> FloatArray:
    """Full tiles, except that each expert's last tile, on the last GPU that has one, holds what is left.

    tiles: [batches, holders]; owner: int64 [holders], the expert of each entry, rising.
    """
    tokens = tiles * rows
    over = np.ceil(counts / rows) * rows - counts
    last = np.zeros((len(counts), counts.shape[1]), np.int64)
    for k in range(len(owner)):
        last[tiles[:, k] > 0, owner[k]] = k
    batch, expert = np.nonzero(over)
    tokens[batch, last[batch, expert]] -= over[batch, expert]
    return tokens
