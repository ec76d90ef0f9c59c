"""How engines split an expert's tokens over its replicas. None of these changes what the model computes.

A policy maps (counts [batches, experts], expert_of_slot [slots], gpus, rng) to GPU loads [batches, gpus], in tokens.
"""

from typing import Protocol

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.experts.dispatch import split_over_replicas


class DispatchPolicy(Protocol):
    """Splits the tokens of each batch over the replicas of their experts."""

    def __call__(
        self, counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator
    ) -> FloatArray: ...


def even(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """The same share on each replica: what round robin over replicas comes to (vLLM).

    Guarantee: even <= S * optimal with S slots per GPU. Each slot gets n / r tokens, an expert's mean over its
    replicas, which no split can keep all of them below; a GPU has S slots.
    """
    replicas = np.bincount(expert_of_slot, minlength=counts.shape[1])
    return (counts[:, expert_of_slot] / replicas[expert_of_slot]).reshape(len(counts), gpus, -1).sum(axis=2)


def random(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """Each token takes a replica of its expert at random (SGLang's `dynamic`). Even in expectation, and never better
    than even there: the largest of averages is at most the average of the largest (Jensen)."""
    return over_slots(counts, expert_of_slot, rng).reshape(len(counts), gpus, -1).sum(axis=2)


def over_slots(counts: FloatArray, expert_of_slot: IntArray, rng: np.random.Generator) -> FloatArray:
    """Tokens of each slot [batches, slots] if each takes a replica of its expert at random."""
    tokens = np.zeros((len(counts), len(expert_of_slot)))
    for expert in range(counts.shape[1]):
        held = np.flatnonzero(expert_of_slot == expert)
        tokens[:, held] = rng.multinomial(counts[:, expert].astype(np.int64), np.full(len(held), 1 / len(held)))
    return tokens


def nearest(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """A token stays on its GPU if the expert is there, else all replicas get the same share (SGLang's `static`).

    Counts do not say where tokens come from: each GPU is taken to hold 1/gpus of every expert's tokens.
    """
    experts = counts.shape[1]
    slots = np.zeros((experts, gpus))
    np.add.at(slots, (expert_of_slot, np.arange(len(expert_of_slot)) // (len(expert_of_slot) // gpus)), 1.0)
    local = slots > 0
    elsewhere = 1.0 - local.sum(axis=1, keepdims=True) / gpus
    share = local / gpus + elsewhere * slots / slots.sum(axis=1, keepdims=True)
    return np.asarray(counts @ share)


def optimal(counts: FloatArray, expert_of_slot: IntArray, gpus: int, rng: np.random.Generator) -> FloatArray:
    """The split with the least largest load, in whole tokens: ceil(L*), less than one token above any split at all."""
    return np.asarray(split_over_replicas(counts, expert_of_slot, gpus, integral=True).tokens.sum(axis=1))


POLICIES: dict[str, DispatchPolicy] = {"even": even, "random": random, "nearest": nearest, "optimal": optimal}
