"""Expert parallelism as two programs: where the experts of a layer live, and how one batch's tokens are split.

**Dispatch** (every batch and layer). n[e] tokens go to expert e; R_e is the set of GPUs that hold a replica of it. All
GPUs wait for the slowest at the all-to-all, so with x[e, g] >= 0 the tokens of e that GPU g computes:

    minimise    L                                                                        [tokens]
    subject to  sum over g in R_e of x[e, g] = n[e]     for every expert e
                sum over e of x[e, g] <= L              for every GPU g

LPLB's form (github.com/deepseek-ai/LPLB) is the case of at most two replicas: an edge per redundant expert, from the
GPU of the original to the GPU of the replica, its capacity the expert's tokens; `RedundancyGraph`.

By max-flow/min-cut the optimum is   L* = max over non-empty sets S of GPUs of  n({e: R_e inside S}) / |S|.
Proof. `>=`: those experts' tokens stay inside S under every split, and some GPU of S has at least the average. `<=`:
take an optimal split with the fewest GPUs at L*. From g, load can move to h where some e has x[e, g] > 0 and h in R_e.
Let S be the GPUs that one GPU at L* reaches by such moves. A GPU of S below L* would take a little load along the way
and leave fewer GPUs at L*, so all of S is at L*. Nothing in S can leave S: each expert with tokens there has R_e inside
S, and L* |S| = n({e: R_e inside S}). With whole tokens the same argument in moves of one token gives ceil(L*)
(`_flow_kernel`: flows with whole capacities and a whole limit are whole), so rounding costs less than one token.

**Placement** (minutes). Slots p = 1..P, P/G of them on each of the G GPUs, are given experts so that each expert has a
slot. Over recent batches b (or a quantile of them instead of the mean):

    minimise    mean over b of  L*_b(placement) / (mean GPU load of b)                     per layer
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.errors import ExpertError


@dataclass(frozen=True)
class Placement:
    """Which expert each slot holds; slots are dealt to GPUs in equal runs.

    Parameters
    ----------
    expert_of_slot : ndarray of int64, shape (layers, slots)
        Expert ids.
    gpus : int
        That share the slots.
    experts : int
        Of a layer.

    Raises
    ------
    ExpertError
        Where slots do not divide over the GPUs, an id is not below `experts`, or an expert has no slot.
    """

    expert_of_slot: IntArray
    gpus: int
    experts: int

    def __post_init__(self) -> None:
        slots = self.expert_of_slot
        if not isinstance(slots, np.ndarray) or slots.ndim != 2 or slots.dtype != np.int64:
            raise ExpertError("placement: expert_of_slot must be an int64 array [layers, slots]")
        if self.gpus < 1 or slots.shape[1] % self.gpus:
            raise ExpertError(f"placement: {slots.shape[1]} slots do not divide over {self.gpus} GPUs")
        if slots.size and (slots.min() < 0 or slots.max() >= self.experts):
            raise ExpertError(f"placement: expert {slots.max()} or {slots.min()}; expected 0 to {self.experts - 1}")
        missing = np.argwhere(self.replicas == 0)
        if len(missing):
            raise ExpertError(f"placement: layer {missing[0, 0]} has no slot for expert {missing[0, 1]}")

    @property
    def gpu_of_slot(self) -> IntArray:
        """The GPU of each slot, int64 [slots]."""
        slots = self.expert_of_slot.shape[1]
        return np.arange(slots) // (slots // self.gpus)

    @property
    def replicas(self) -> IntArray:
        """How many slots each expert has, int64 [layers, experts]."""
        layers = len(self.expert_of_slot)
        flat = self.expert_of_slot + self.experts * np.arange(layers)[:, None]
        return np.bincount(flat.ravel(), minlength=layers * self.experts).reshape(layers, self.experts)

    def holds(self) -> npt.NDArray[np.bool_]:
        """Whether expert e has a replica on GPU g, [layers, experts, gpus]."""
        layers, slots = self.expert_of_slot.shape
        held = np.zeros((layers, self.experts, self.gpus), np.bool_)
        held[np.arange(layers)[:, None], self.expert_of_slot, np.broadcast_to(self.gpu_of_slot, (layers, slots))] = True
        return held

    def moved_from(self, before: "Placement") -> int:
        """Expert weights that must be copied to a GPU that did not hold them in `before`, over all layers."""
        if (before.gpus, before.experts) != (self.gpus, self.experts):
            raise ExpertError(
                f"placement: {self.gpus} GPUs and {self.experts} experts; the one before has {before.gpus} and "
                f"{before.experts}"
            )
        return int(np.sum(self.holds() & ~before.holds()))


def slots_for(experts: int, redundant: int, gpus: int) -> int:
    """Slots for the experts and at least `redundant` replicas more: the next multiple of the number of GPUs."""
    if experts < 1 or gpus < 1 or redundant < 0:
        raise ExpertError(f"{experts} experts, {redundant} redundant, {gpus} GPUs: expected >= 1, >= 0 and >= 1")
    return -(-(experts + redundant) // gpus) * gpus


def contiguous(layers: int, experts: int, slots: int, gpus: int) -> Placement:
    """Experts in order, as vLLM and SGLang start: slot p holds expert p, redundant slots begin again at expert 0."""
    return Placement(np.tile(np.arange(slots, dtype=np.int64) % experts, (layers, 1)), gpus, experts)
