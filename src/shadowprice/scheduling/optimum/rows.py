"""The rows that every schedule of the round model satisfies in every round: memory, and lanes for large requests."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.scheduling.problem import RoundInstance


@dataclass(frozen=True)
class Rows:
    """Row families r: in every round t, the sum over requests of what they use of r is at most capacity[r].

    A request i started at round k uses base[r, i] + slope[r] * j in round k + j for j = 1..length[r, i], else nothing.
    base, length: int64 [families, n]; slope, capacity: int64 [families].
    """

    base: IntArray
    slope: IntArray
    length: IntArray
    capacity: IntArray


def memory_rows(instance: RoundInstance) -> Rows:
    """The memory constraint of the hindsight program alone."""
    return Rows(
        instance.prompt_tokens[None, :],
        np.array([1]),
        instance.output_tokens[None, :],
        np.array([instance.memory_tokens], dtype=np.int64),
    )


def memory_and_lane_rows(instance: RoundInstance, lanes: int = 1) -> Rows:
    """The memory constraint, and where it says anything the constraint of h = `lanes` lanes (ours).

    With p the least prompt let w_i = min(o_i, ceil((s_i + h*p + (h+1)*o_i - M) / h)). Where w_i >= 1, request i takes a
    lane in the rounds k_i + 1..k_i + w_i, and no round has more than h lanes taken.

    Proof. Suppose h + 1 of them take a lane in round t: k_i < t <= k_i + w_i <= k_i + o_i, so all are active from t
    until the first of them, m, finishes in round f = k_m + o_m >= t. There they hold sum_i (s_i + f - k_i). Since
    k_m - k_i >= (t - w_m) - (t - 1) = -(w_m - 1), that is at least  s_m + h*p + (h+1)*o_m - h*(w_m - 1),  which
    exceeds M because w_m - 1 < (s_m + h*p + (h+1)*o_m - M) / h. So the memory constraint fails in round f.

    The rows follow from integrality and not from the linear relaxation, which serves half of a large request beside
    half of another. With one lane two requests of peak M take nearly 2M rounds, with the memory rows alone M rounds.
    They matter where large requests use most of the memory; more than one lane has not been seen to help.
    """
    memory, size = memory_rows(instance), instance.memory_tokens
    prompt, output = instance.prompt_tokens, instance.output_tokens
    least = int(prompt.min(initial=size))
    width = -((size - prompt - lanes * least - (lanes + 1) * output) // lanes)
    width = np.clip(width, 0, output)
    if np.count_nonzero(width) <= lanes:
        return memory
    return Rows(
        np.array([memory.base[0], width > 0], dtype=np.int64),
        np.array([1, 0]),
        np.array([memory.length[0], width]),
        np.array([size, lanes], dtype=np.int64),
    )
