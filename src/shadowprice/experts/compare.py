"""Placements and dispatch policies side by side: chosen on the first half of what is known, judged on the second."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.experts.altering import Altered, capacity_drop, expert_choice
from shadowprice.experts.eplb import eplb
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.experts.optimum import placement_bound
from shadowprice.experts.options import ExpertOptions, SearchOptions
from shadowprice.experts.place import Budget, Dispatch, objective, place, value_of
from shadowprice.experts.policies import POLICIES, DispatchPolicy
from shadowprice.experts.problem import Placement, contiguous, slots_for

CAPACITY_FACTOR = 1.25


@dataclass(frozen=True)
class Row:
    """max_over_mean: largest GPU load over the mean one, averaged over batches and layers of the judged half.

    bound: what no placement and no split can go below there. batch_tokens: None where only counts are known.
    """

    placement: str
    dispatch: str
    batch_tokens: int | None
    max_over_mean: float
    bound: float


@dataclass(frozen=True)
class Baseline:
    """A way to balance that stands apart: `changes_output` where tokens lose experts that the router chose."""

    baseline: str
    changes_output: bool
    max_over_mean: float
    dropped_share: float
    added_share: float


@dataclass(frozen=True)
class Comparison:
    """rows: placement x dispatch. placements: by name, ours once per dispatch. seconds: CPU time of our search."""

    options: ExpertOptions
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]
    placements: dict[str, Placement]
    judged: ExpertLoads
    seconds: float
    notes: tuple[str, ...]

    @property
    def slots(self) -> int:
        """Slots of a layer."""
        return self.placements["eplb"].expert_of_slot.shape[1]

    def row(self, placement: str, dispatch: str) -> Row:
        """The row of that placement and dispatch."""
        return next(row for row in self.rows if (row.placement, row.dispatch) == (placement, dispatch))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the placements."""
        return {
            "rows": [vars(row) for row in self.rows],
            "baselines": [vars(row) for row in self.baselines],
            "options": self.options.to_json(),
            "gpus": self.options.gpus,
            "slots": self.slots,
            "layers": self.judged.layers,
            "experts": self.judged.experts,
            "search_s": self.seconds,
            "notes": list(self.notes),
        }


def compare(
    loads: ExpertLoads | Routing,
    options: ExpertOptions = ExpertOptions(),
    *,
    rng: np.random.Generator | None = None,
    budget: Budget | None = None,
) -> Comparison:
    """Contiguous experts, EPLB's placement and ours, each under the even, the random and the optimal split.

    With routing token by token or several batches of counts, placements are chosen on the first half and judged on the
    second; one batch of counts is both. rng: a new one of options.seed where none is given. Raises ExpertError.
    """
    rng = rng or np.random.default_rng(options.seed)
    chosen, judged, searched = _halves(loads, options.batch_tokens)
    gpus, search = options.gpus, options.search
    slots = slots_for(judged.experts, options.redundant, gpus)
    placements = {
        "contiguous": contiguous(judged.layers, judged.experts, _contiguous_slots(judged.experts, slots, gpus), gpus),
        "eplb": eplb(chosen.totals, slots, gpus, search.groups, search.nodes),
    }
    _compile()
    started = time.process_time()
    kinds: tuple[Dispatch, ...] = ("even", "optimal")
    for kind in kinds:
        ours = place(searched, gpus, slots, rng, dispatch=kind, search=search, budget=budget)
        fallback = placements["eplb"] if budget is None else budget.before
        placements[f"shadowprice for {kind}"] = _no_worse(ours, fallback, chosen, kind, search.quantile)
    seconds = time.process_time() - started
    tokens = options.batch_tokens if isinstance(loads, Routing) else None
    bound = float(placement_bound(judged, gpus, slots).mean())
    rows = []
    for name in ("contiguous", "eplb", "shadowprice"):
        for dispatch in ("even", "random", "optimal"):
            kind_of_ours = "optimal" if dispatch == "optimal" else "even"
            placement = placements[name if name != "shadowprice" else f"shadowprice for {kind_of_ours}"]
            value = max_over_mean(judged, placement, POLICIES[dispatch], rng)
            rows.append(Row(name, dispatch, tokens, value, bound))
    notes = (*judged.notes, *_notes(judged, options.redundant, slots, gpus, loads))
    return Comparison(options, tuple(rows), _baselines(judged, placements, rng), placements, judged, seconds, notes)


def _compile() -> None:
    """Have the kernels compiled before time is taken."""
    tiny = ExpertLoads(np.array([[[2, 1]], [[1, 2]]]), np.zeros(1, np.int64))
    for kind in ("even", "optimal"):
        place(tiny, 2, 4, np.random.default_rng(0), dispatch=kind, search=SearchOptions(effort=1e-9))


def max_over_mean(loads: ExpertLoads, placement: Placement, policy: DispatchPolicy, rng: np.random.Generator) -> float:
    """Largest over mean GPU load under a placement and a split, averaged over batches and layers (1 where idle)."""
    ratios = []
    for layer, slots in enumerate(placement.expert_of_slot):
        counts = loads.tokens[:, layer].astype(np.float64)
        ratios.append(_ratio(policy(counts, slots, placement.gpus, rng), counts.sum(axis=1) / placement.gpus))
    return float(np.mean(ratios))


def gpu_loads(found: Comparison, name: str, dispatch: str) -> FloatArray:
    """Load of each GPU over the mean one, [batches, gpus], in the first layer, under a placement and a split."""
    placement = found.placements[name]
    counts = found.judged.tokens[:, 0].astype(np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    loads = POLICIES[dispatch](counts, placement.expert_of_slot[0], placement.gpus, np.random.default_rng(0))
    return np.asarray(loads / loads.mean(axis=1, keepdims=True))


def _ratio(gpu_loads: FloatArray, mean: FloatArray) -> FloatArray:
    return np.divide(gpu_loads.max(axis=1), mean, out=np.ones(len(mean)), where=mean > 0)


def _halves(loads: ExpertLoads | Routing, batch_tokens: int) -> tuple[ExpertLoads, ExpertLoads, ExpertLoads]:
    """(to choose on, to judge on, to search on). Searching sees batches half as large, where tokens are known one by
    one: they are more and vary more, so that what fits them all also fits what comes."""
    first, second = loads.halves()
    if isinstance(first, ExpertLoads) or isinstance(second, ExpertLoads):
        assert isinstance(first, ExpertLoads) and isinstance(second, ExpertLoads)
        return first, second, first
    return first.in_batches(batch_tokens), second.in_batches(batch_tokens), first.in_batches(max(1, batch_tokens // 2))


def _no_worse(ours: Placement, other: Placement, loads: ExpertLoads, kind: Dispatch, quantile: float) -> Placement:
    """Ours in the layers where it is at least as good as the other placement on these batches, else the other's."""
    relative = loads.relative(ours.gpus)
    rows = []
    for layer, pair in enumerate(zip(ours.expert_of_slot, other.expert_of_slot, strict=True)):
        here, there = (objective(value_of(relative[:, layer], s, ours.gpus, kind), quantile) for s in pair)
        rows.append(pair[0] if here <= there else pair[1])
    return replace(ours, expert_of_slot=np.stack(rows))


def _contiguous_slots(experts: int, slots: int, gpus: int) -> int:
    """Without load balancing engines have no redundant experts, where experts divide over the GPUs."""
    return experts if experts % gpus == 0 else slots


def _baselines(loads: ExpertLoads, placements: dict[str, Placement], rng: np.random.Generator) -> tuple[Baseline, ...]:
    nearest = max_over_mean(loads, placements["eplb"], POLICIES["nearest"], rng)
    counts = loads.tokens.astype(np.float64)
    found = [Baseline("nearest replica on EPLB's placement", False, nearest, 0.0, 0.0)]
    for name, altered in (
        (f"capacity factor {CAPACITY_FACTOR}, rest dropped, contiguous", _by_layer(counts, True)),
        ("expert choice, contiguous", _by_layer(counts, False)),
    ):
        placement = placements["contiguous"]
        ratios = []
        for layer, slots in enumerate(placement.expert_of_slot):
            mean = counts[:, layer].sum(axis=1) / placement.gpus
            gpu_loads = POLICIES["even"](altered[layer].tokens, slots, placement.gpus, rng)
            ratios.append(_ratio(gpu_loads, mean))
        dropped = float(np.average([a.dropped for a in altered], weights=counts.sum(axis=(0, 2))))
        added = float(np.average([a.added for a in altered], weights=counts.sum(axis=(0, 2))))
        found.append(Baseline(name, True, float(np.mean(ratios)), dropped, added))
    return tuple(found)


def _by_layer(counts: FloatArray, drop: bool) -> list[Altered]:
    layers = (counts[:, layer] for layer in range(counts.shape[1]))
    return [capacity_drop(layer, CAPACITY_FACTOR) if drop else expert_choice(layer) for layer in layers]


def _notes(judged: ExpertLoads, redundant: int, slots: int, gpus: int, loads: ExpertLoads | Routing) -> tuple[str, ...]:
    notes = []
    if slots - judged.experts != redundant:
        notes.append(
            f"{redundant} redundant experts do not fill {gpus} GPUs evenly: {slots - judged.experts} used "
            f"({slots} slots, {slots // gpus} per GPU)"
        )
    if isinstance(loads, ExpertLoads) and loads.batches == 1:
        notes.append("one batch of counts only: placements are chosen and judged on the same counts")
    return tuple(notes)
