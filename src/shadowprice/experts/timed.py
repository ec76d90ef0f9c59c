"""Placements and splits by time: what the slowest GPU takes under `GemmTime`, whoever splits the tokens.

A split maps (counts [batches, experts], expert_of_slot [slots], gpus, rng) to whole tokens of each slot [batches,
slots]; a slot is a group of the grouped product of its own.
"""

from collections.abc import Callable

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.experts.dispatch import split_over_replicas
from shadowprice.experts.gemm_time import GemmTime, split_by_tiles
from shadowprice.experts.policies import over_slots

SlotSplit = Callable[[FloatArray, IntArray, int, np.random.Generator], FloatArray]


def even(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """Token i of an expert goes to its replica i modulo their number (vLLM)."""
    replicas = np.bincount(expert_of_slot, minlength=counts.shape[1])
    place = np.zeros(len(expert_of_slot), np.int64)  # among the replicas of the slot's expert
    for expert in np.flatnonzero(replicas > 1):
        place[expert_of_slot == expert] = np.arange(replicas[expert])
    whole, rest = np.divmod(counts[:, expert_of_slot], replicas[expert_of_slot])
    return np.asarray(whole + (place < rest))


def random(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """Each token takes a replica of its expert at random (SGLang's `dynamic`)."""
    return over_slots(counts, expert_of_slot, rng)


def fewest_tokens(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """The split with the least largest load in tokens, as if tokens were time."""
    tokens = split_over_replicas(counts, expert_of_slot, gpus, integral=True).tokens
    slots = np.arange(len(expert_of_slot))
    gpu_of_slot = slots // (len(slots) // gpus)
    first = np.full((counts.shape[1], gpus), -1)
    first[expert_of_slot[::-1], gpu_of_slot[::-1]] = slots[::-1]
    # a second slot on the same GPU stays empty: its weights need not be read
    return np.asarray(tokens[:, expert_of_slot, gpu_of_slot] * (first[expert_of_slot, gpu_of_slot] == slots))


# beside "optimal", the split by time
SPLITS: dict[str, SlotSplit] = {"even": even, "random": random, "tokens": fewest_tokens}


def gpu_seconds(
    counts: FloatArray,
    expert_of_slot: IntArray,
    gpus: int,
    gemm: GemmTime,
    dispatch: str,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Seconds of each GPU [batches, gpus]; dispatch: a name of SPLITS, or "optimal" for the split by time."""
    if dispatch == "optimal":
        return split_by_tiles(counts, expert_of_slot, gpus, gemm).time_s
    tokens = SPLITS[dispatch](counts, expert_of_slot, gpus, rng or np.random.default_rng(0))
    return np.asarray(gemm.of(tokens).reshape(len(counts), gpus, -1).sum(axis=2))
