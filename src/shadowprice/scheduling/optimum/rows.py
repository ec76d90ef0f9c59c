"""The rows that every schedule of the round model satisfies in every round: memory, and lanes for large requests."""

from dataclasses import dataclass

import numpy as np

from shadowprice.scheduling.problem import IntArray, RoundInstance


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


def memory_and_lane_rows(instance: RoundInstance, most_lanes: int = 3) -> Rows:
    """The memory constraint and, for h = 1..most_lanes and each least prompt p, the lane constraints (ours).

    Lanes: among requests with prompt >= p, let w_i = min(o_i, ceil((s_i + h*p + (h+1)*o_i - M) / h)). Where w_i >= 1,
    request i takes a lane in the rounds k_i + 1..k_i + w_i, and no round has more than h lanes taken.

    Proof. Suppose h + 1 of them take a lane in round t: k_i < t <= k_i + w_i <= k_i + o_i, so all are active from t
    until the first of them, m, finishes in round f = k_m + o_m >= t. There they hold sum_i (s_i + f - k_i). Since
    k_m - k_i >= (t - w_m) - (t - 1) = -(w_m - 1), that is at least  s_m + h*p + (h+1)*o_m - h*(w_m - 1),  which
    exceeds M because w_m - 1 < (s_m + h*p + (h+1)*o_m - M) / h. So the memory constraint fails in round f.

    These rows follow from integrality, not from the linear relaxation: at h = 1 two requests of peak M take 2M rounds
    in them, and M in the memory rows. They matter where large requests use most of the memory.
    """
    memory = memory_rows(instance)
    base, slope, length, capacity = [memory.base[0]], [1], [memory.length[0]], [instance.memory_tokens]
    prompt, output, size = instance.prompt_tokens, instance.output_tokens, instance.memory_tokens
    for lanes in range(1, most_lanes + 1):
        members_before = -1
        for least in np.unique(prompt):
            width = -((size - prompt - lanes * least - (lanes + 1) * output) // lanes)
            width = np.where(prompt >= least, np.clip(width, 0, output), 0)
            members = int(np.count_nonzero(width))
            if members <= lanes or members == members_before:
                continue
            base.append((width > 0).astype(np.int64))
            slope.append(0)
            length.append(width)
            capacity.append(lanes)
    return Rows(np.array(base), np.array(slope), np.array(length), np.array(capacity, dtype=np.int64))
