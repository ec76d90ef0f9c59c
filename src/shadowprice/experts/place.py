"""Our placement: local search on the very thing that is paid for, the largest GPU load of recent batches."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts._even_search_kernel import even_loads, search_even
from shadowprice.experts._search_kernel import search_dispatched
from shadowprice.experts.dispatch import split_over_replicas
from shadowprice.experts.eplb import eplb, pack, within_nodes
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.experts.loads import ExpertLoads
from shadowprice.experts.options import SearchOptions
from shadowprice.experts.packings import KEPT, other_packings, together
from shadowprice.experts.problem import Placement
from shadowprice.experts.timed import gpu_seconds

Dispatch = Literal["even", "optimal"]

SEARCH_BATCHES = 32  # of a longer record, so many batches are searched on; all of them choose among the candidates
FEW_BATCHES, VARIATION = 16, 0.3  # with fewer, copies that vary by so much (lognormal) stand in for what may come
HEAT = 0.003  # a move that costs this share of the objective is accepted with probability 1/e at the start
PROPOSALS_PER_EVALUATION = 50
EFFORT_US = 600_000.0  # what effort 1 may cost on a core of 2020 or later, all layers together
LEAST_EVALUATIONS = 30


@dataclass(frozen=True)
class Budget:
    """At most `copies_per_layer` expert weights may be copied to a GPU that does not hold them in `before`."""

    before: Placement
    copies_per_layer: int


def place(
    loads: ExpertLoads,
    gpus: int,
    slots: int,
    rng: np.random.Generator,
    *,
    dispatch: Dispatch = "optimal",
    search: SearchOptions = SearchOptions(),
    budget: Budget | None = None,
    gemm: GemmTime | None = None,
) -> Placement:
    """The placement with the least mean (or quantile) over batches of the largest GPU load (ours).

    dispatch: how tokens will be split over replicas, and so what a placement is worth: "optimal" as
    `split_over_replicas`, "even" as engines do today. gemm: GPU loads are seconds instead of tokens, and
    "optimal" is `split_by_tiles`. The search then takes an expert for the seconds it needs at least, parted at will;
    what it finds is judged by what the splits take.

    With groups on several nodes a group's experts stay together: on the node that EPLB gives it, on those of the other
    packings that spread the batches' loads best, or where the search without groups leaves them, if it leaves them
    together; so groups never make the answer worse than that one. With a budget experts stay on their node of today.

    Guarantee: in every layer no worse on `loads` than EPLB's placement for their totals, because EPLB's is where the
    search starts and one of the candidates at the end. With a budget: no worse than budget.before, nor than EPLB's
    where that is within the budget. The same rng state gives the same placement. Raises ExpertError.
    """
    groups, nodes = (search.groups, search.nodes) if search.groups > 1 else (1, 1)
    greedy = eplb(loads.totals, slots, gpus, groups, nodes).expert_of_slot
    if budget is not None:
        _require_comparable(budget, loads, gpus, slots)
    worth = Worth(loads, gpus, dispatch, search.quantile, gemm)
    node_of_gpu = np.arange(gpus) // (gpus // nodes)
    chosen = []
    for layer in range(loads.layers):
        start = greedy[layer] if budget is None else budget.before.expert_of_slot[layer]
        one = _LayerSearch(gpus, node_of_gpu, start, budget, layer, dispatch, search.quantile)
        effort, seed = search.effort / loads.layers, int(rng.integers(1 << 62))
        found = one.candidates(worth.relative[:, layer], effort, seed)
        if nodes > 1 and budget is None:
            found += _over_packings(one, loads, worth, groups, effort, seed)
        best = min([*found, *one.affordable(greedy[layer]), start], key=lambda slots: worth(layer, slots))
        chosen.append(best if budget is None else keep_in_place(best, start, gpus))
    return Placement(np.stack(chosen), gpus, loads.experts)


def _over_packings(
    one: "_LayerSearch", loads: ExpertLoads, worth: "Worth", groups: int, effort: float, seed: int
) -> list[IntArray]:
    """Slots found from other packings of the groups onto the nodes, and without groups where those stay together."""
    layer, gpus, nodes = one.layer, one.gpus, int(one.node_of_gpu[-1]) + 1
    relative, weight = worth.relative[:, layer], loads.totals[layer].astype(np.float32)
    slots = len(one.start)
    packed = pack(weight.reshape(groups, -1).sum(axis=1), nodes)
    found = []
    for packing in other_packings(relative, packed, np.random.default_rng(seed)):
        start = within_nodes(weight, packing, slots, gpus)
        found += [start, *replace(one, start=start).candidates(relative, effort / KEPT, seed)]
    free = replace(one, start=eplb(weight[None], slots, gpus).expert_of_slot[0], node_of_gpu=np.zeros(gpus, np.int64))
    group_of = np.arange(loads.experts) // (loads.experts // groups)
    for alone in [free.start, *free.candidates(relative, effort, seed)]:
        kept = together(alone, group_of, gpus, nodes)
        found += [] if kept is None else [kept]
    return found


@dataclass(frozen=True)
class _LayerSearch:
    """One layer's search: where it starts, what it may change, what it values."""

    gpus: int
    node_of_gpu: IntArray
    start: IntArray
    budget: Budget | None
    layer: int
    dispatch: Dispatch
    quantile: float

    def candidates(self, relative: FloatArray, effort: float, seed: int) -> list[IntArray]:
        """Slots found for the even split, and from there (unless that is what is wanted) for the optimal one."""
        batches, experts = relative.shape
        used = np.unique(np.linspace(0, batches - 1, min(batches, SEARCH_BATCHES)).astype(np.int64))
        loads = np.ascontiguousarray(relative[used])
        had, copies = self._had(experts)
        shared = (self.gpus, self.node_of_gpu, had, copies, self.quantile)
        proposals, evaluations = _effort(effort, self.dispatch, max(len(used), FEW_BATCHES), self.gpus, experts)
        even, _ = search_even(loads, self.start.copy(), *shared, proposals, HEAT, seed)
        if self.dispatch == "even":
            return [even]
        begin = self._better(loads, [self.start, even])
        loads = _varied(loads, seed)
        turns = PROPOSALS_PER_EVALUATION * evaluations
        found, _ = search_dispatched(loads, begin.copy(), *shared, turns, evaluations, HEAT, seed)
        return [found, even]

    def affordable(self, slots: IntArray) -> list[IntArray]:
        """The slots, if the budget allows them."""
        if self.budget is None:
            return [slots]
        experts = self.budget.before.experts
        had, copies = self._had(experts)
        moved = Placement(slots[None], self.gpus, experts).holds()[0] & (had == 0)
        return [slots] if moved.sum() <= copies else []

    def _better(self, relative: FloatArray, candidates: list[IntArray]) -> IntArray:
        """The first candidate with the least objective over these batches."""
        worth = (_rounded(value_of(relative, slots, self.gpus, self.dispatch), self.quantile) for slots in candidates)
        return min(zip(worth, candidates, strict=True), key=lambda pair: pair[0])[1]

    def _had(self, experts: int) -> tuple[npt.NDArray[np.uint8], int]:
        if self.budget is None:
            return np.ones((experts, self.gpus), np.uint8), 0
        before = Placement(self.budget.before.expert_of_slot[self.layer][None], self.gpus, experts)
        return before.holds()[0].astype(np.uint8), self.budget.copies_per_layer


@dataclass(frozen=True)
class Worth:
    """What a placement is worth on some loads under a split: the objective of the largest GPU load over the mean."""

    loads: ExpertLoads
    gpus: int
    dispatch: Dispatch
    quantile: float = 0.0
    gemm: GemmTime | None = None

    @cached_property
    def relative(self) -> FloatArray:
        """The loads, in tokens or in seconds, of [batches, layers, experts]."""
        return self.loads.relative(self.gpus, self.gemm)

    def __call__(self, layer: int, slots: IntArray) -> float:
        """Of one layer's slots."""
        if self.gemm is None:
            return _rounded(value_of(self.relative[:, layer], slots, self.gpus, self.dispatch), self.quantile)
        counts = self.loads.tokens[:, layer].astype(np.float64)
        slowest_s = gpu_seconds(counts, slots, self.gpus, self.gemm, self.dispatch).max(axis=1)
        mean_s = self.gemm.of(counts).sum(axis=1) / self.gpus
        return _rounded(np.divide(slowest_s, mean_s, out=np.zeros(len(counts)), where=mean_s > 0), self.quantile)


def _rounded(largest: FloatArray, quantile: float) -> float:
    """The objective; rounding of sums must not decide between equal candidates."""
    return round(objective(largest, quantile), 12)


def _varied(loads: FloatArray, seed: int) -> FloatArray:
    """At least FEW_BATCHES batches [batches, experts]: copies with every expert's load made a little larger or smaller.

    One batch (totals, say) can be split evenly under many placements; what comes next differs from it, and copies that
    differ tell those placements apart.
    """
    copies = -(-FEW_BATCHES // len(loads)) - 1
    if copies == 0:
        return loads
    noise = np.random.default_rng(seed).normal(0.0, VARIATION, (copies, *loads.shape))
    copied = (loads * np.exp(noise)).reshape(-1, loads.shape[1])
    copied *= (
        np.repeat([loads.sum(axis=1)], copies, axis=0).reshape(-1, 1) / np.maximum(copied.sum(axis=1), 1e-300)[:, None]
    )
    return np.concatenate([loads, copied])


def objective(largest: FloatArray, quantile: float) -> float:
    """Mean, or (quantile > 0) the least value that at least that share of the batches does not exceed."""
    if quantile <= 0:
        return float(largest.mean())
    return float(np.sort(largest)[int(np.ceil(quantile * len(largest) - 1e-9)) - 1])


def largest_even(counts: FloatArray, expert_of_slot: IntArray, gpus: int) -> FloatArray:
    """Largest GPU load of each batch [batches] if each expert's tokens are split evenly over its slots."""
    slots = len(expert_of_slot)
    replicas = np.bincount(expert_of_slot, minlength=counts.shape[1])
    load = np.empty((len(counts), gpus))
    even_loads(np.asarray(counts, np.float64), expert_of_slot, np.arange(slots) // (slots // gpus), replicas, load)
    return np.asarray(load.max(axis=1))


def value_of(counts: FloatArray, expert_of_slot: IntArray, gpus: int, dispatch: Dispatch) -> FloatArray:
    """Largest GPU load of each batch [batches] under that split."""
    if dispatch == "even":
        return largest_even(counts, expert_of_slot, gpus)
    return split_over_replicas(counts, expert_of_slot, gpus).largest


def keep_in_place(slots: IntArray, before: IntArray, gpus: int) -> IntArray:
    """The same placement with each GPU's slots ordered so that what it already holds keeps its slot."""
    ordered = np.full((gpus, len(slots) // gpus), -1, np.int64)
    for g, (new, old) in enumerate(zip(slots.reshape(gpus, -1), before.reshape(gpus, -1), strict=True)):
        rest = list(new)
        for k, expert in enumerate(old):
            if expert in rest:
                rest.remove(expert)
                ordered[g, k] = expert
        ordered[g, ordered[g] < 0] = rest
    return ordered.ravel()


def _effort(effort: float, dispatch: Dispatch, batches: int, gpus: int, experts: int) -> tuple[int, int]:
    """(proposals of the even search, flow evaluations of the exact one); measured costs, so that time hardly depends on
    the size of the problem."""
    budget_us = EFFORT_US * effort
    proposal_us = batches * (0.035 + 0.0005 * gpus)
    evaluation_us = batches * (2.0 + 0.15 * gpus + 0.002 * experts)
    even_us = budget_us if dispatch == "even" else 0.35 * budget_us
    evaluations = max(LEAST_EVALUATIONS, int((budget_us - even_us) / evaluation_us))
    return max(LEAST_EVALUATIONS * PROPOSALS_PER_EVALUATION, int(even_us / proposal_us)), evaluations


def _require_comparable(budget: Budget, loads: ExpertLoads, gpus: int, slots: int) -> None:
    before = budget.before
    found = (*before.expert_of_slot.shape, before.gpus, before.experts)
    if found != (loads.layers, slots, gpus, loads.experts):
        raise ExpertError(
            f"placement: the one before has (layers, slots, GPUs, experts) = {found}; expected "
            f"{(loads.layers, slots, gpus, loads.experts)}"
        )
    if budget.copies_per_layer < 0:
        raise ExpertError(f"placement: a budget of {budget.copies_per_layer} copies; expected >= 0")
