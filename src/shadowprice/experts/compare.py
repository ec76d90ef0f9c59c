"""Placements and dispatch policies side by side: chosen on the first half of what is known, judged on the second."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.experts.altering import Altered, capacity_drop, expert_choice
from shadowprice.experts.eplb import eplb
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.experts.optimum import placement_bound
from shadowprice.experts.options import ExpertOptions, SearchOptions
from shadowprice.experts.place import Budget, Dispatch, Worth, place
from shadowprice.experts.policies import POLICIES, DispatchPolicy
from shadowprice.experts.problem import Placement, contiguous, slots_for
from shadowprice.experts.timed import SPLITS, gpu_seconds

CAPACITY_FACTOR = 1.25


@dataclass(frozen=True)
class Compared:
    """max_over_mean: largest GPU load over the mean one, averaged over batches and layers of the judged half.

    bound: what no placement and no split can go below there. batch_tokens: None where only counts are known. Where
    loads are seconds, the mean is of the seconds that the experts take at least, and slowest_s what the slowest GPU
    takes in a layer, averaged likewise; None where loads are tokens.
    """

    placement: str
    dispatch: str
    batch_tokens: int | None
    max_over_mean: float
    bound: float
    slowest_s: float | None = None


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
    rows: tuple[Compared, ...]
    baselines: tuple[Baseline, ...]
    placements: dict[str, Placement]
    judged: ExpertLoads
    seconds: float
    notes: tuple[str, ...]

    @property
    def slots(self) -> int:
        """Slots of a layer."""
        return self.placements["eplb"].expert_of_slot.shape[1]

    def row(self, placement: str, dispatch: str) -> Compared:
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
    chosen, judged, searched = _halves(loads, options)
    gpus, search, gemm = options.gpus, options.search, options.cost
    slots = slots_for(judged.experts, options.redundant, gpus)
    placements = {
        "contiguous": contiguous(judged.layers, judged.experts, _contiguous_slots(judged.experts, slots, gpus), gpus),
        "eplb": eplb(chosen.totals, slots, gpus, search.groups, search.nodes),
    }
    _compile(gemm)
    started = time.process_time()
    kinds: tuple[Dispatch, ...] = ("even", "optimal")
    for kind in kinds:
        ours = place(searched, gpus, slots, rng, dispatch=kind, search=search, budget=budget, gemm=gemm)
        fallback = placements["eplb"] if budget is None else budget.before
        worth = Worth(chosen, gpus, kind, search.quantile, gemm)
        placements[f"shadowprice for {kind}"] = _no_worse(ours, fallback, worth)
    seconds = time.process_time() - started
    rows = _rows(judged, placements, rng, gemm, options.batch_tokens if isinstance(loads, Routing) else None)
    notes = (*judged.notes, *_notes(judged, options.redundant, slots, gpus, loads))
    baselines = _baselines(judged, placements, rng) if gemm is None else ()
    return Comparison(options, rows, baselines, placements, judged, seconds, notes)


def _rows(
    judged: ExpertLoads,
    placements: dict[str, Placement],
    rng: np.random.Generator,
    gemm: GemmTime | None,
    batch_tokens: int | None,
) -> tuple[Compared, ...]:
    """Every placement under every split."""
    gpus, slots = placements["eplb"].gpus, placements["eplb"].expert_of_slot.shape[1]
    bound = float(placement_bound(judged, gpus, slots, gemm=gemm).mean())
    rows = []
    for name in ("contiguous", "eplb", "shadowprice"):
        for dispatch in ("even", "random", "optimal") if gemm is None else (*SPLITS, "optimal"):
            placement = placements[name if name != "shadowprice" else f"shadowprice for {_made_for(dispatch)}"]
            value, slowest_s = value_under(judged, placement, dispatch, rng, gemm)
            rows.append(Compared(name, dispatch, batch_tokens, value, bound, slowest_s))
    return tuple(rows)


def _made_for(dispatch: str) -> Dispatch:
    """Which of our placements a split is shown with."""
    return "even" if dispatch in ("even", "random") else "optimal"


def value_under(
    loads: ExpertLoads, placement: Placement, dispatch: str, rng: np.random.Generator, gemm: GemmTime | None
) -> tuple[float, float | None]:
    """(`max_over_mean`, and where loads are seconds what the slowest GPU takes, averaged over batches and layers)."""
    if gemm is None:
        return max_over_mean(loads, placement, POLICIES[dispatch], rng), None
    ratios, slowest_s = [], []
    for layer, slots in enumerate(placement.expert_of_slot):
        counts = loads.tokens[:, layer].astype(np.float64)
        times_s = gpu_seconds(counts, slots, placement.gpus, gemm, dispatch, rng)
        ratios.append(_ratio(times_s, gemm.of(counts).sum(axis=1) / placement.gpus))
        slowest_s.append(times_s.max(axis=1))
    return float(np.mean(ratios)), float(np.mean(slowest_s))


def _compile(gemm: GemmTime | None) -> None:
    """Have the kernels compiled before time is taken."""
    tiny = ExpertLoads(np.array([[[2, 1]], [[1, 2]]]), np.zeros(1, np.int64))
    for kind in ("even", "optimal"):
        place(tiny, 2, 4, np.random.default_rng(0), dispatch=kind, search=SearchOptions(effort=1e-9), gemm=gemm)


def max_over_mean(loads: ExpertLoads, placement: Placement, policy: DispatchPolicy, rng: np.random.Generator) -> float:
    """Largest over mean GPU load under a placement and a split, averaged over batches and layers (1 where idle)."""
    ratios = []
    for layer, slots in enumerate(placement.expert_of_slot):
        counts = loads.tokens[:, layer].astype(np.float64)
        ratios.append(_ratio(policy(counts, slots, placement.gpus, rng), counts.sum(axis=1) / placement.gpus))
    return float(np.mean(ratios))


def gpu_loads(found: Comparison, name: str, dispatch: str) -> FloatArray:
    """Load of each GPU over the mean one, [batches, gpus], in the first layer, under a placement and a split.

    Where loads are seconds, the mean is that of the experts' least seconds, as in `Compared`.
    """
    placement = found.placements[name]
    counts = found.judged.tokens[:, 0].astype(np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    slots, gpus, gemm = placement.expert_of_slot[0], placement.gpus, found.options.cost
    if gemm is not None:
        mean_s = gemm.of(counts).sum(axis=1, keepdims=True) / gpus
        return np.asarray(gpu_seconds(counts, slots, gpus, gemm, dispatch) / mean_s)
    loads = POLICIES[dispatch](counts, slots, gpus, np.random.default_rng(0))
    return np.asarray(loads / loads.mean(axis=1, keepdims=True))


def _ratio(gpu_loads: FloatArray, mean: FloatArray) -> FloatArray:
    return np.divide(gpu_loads.max(axis=1), mean, out=np.ones(len(mean)), where=mean > 0)


def _halves(loads: ExpertLoads | Routing, options: ExpertOptions) -> tuple[ExpertLoads, ExpertLoads, ExpertLoads]:
    """(to choose on, to judge on, to search on). Searching sees batches half as large, where tokens are known one by
    one: they are more and vary more, so that what fits them all also fits what comes. Not where loads are seconds, for
    those of half a batch are more than half of a batch's."""
    first, second = loads.halves()
    if isinstance(first, ExpertLoads) or isinstance(second, ExpertLoads):
        assert isinstance(first, ExpertLoads) and isinstance(second, ExpertLoads)
        return first, second, first
    size = options.batch_tokens
    chosen = first.in_batches(size)
    searched = chosen if options.cost is not None else first.in_batches(max(1, size // 2))
    return chosen, second.in_batches(size), searched


def _no_worse(ours: Placement, other: Placement, worth: Worth) -> Placement:
    """Ours in the layers where it is at least as good as the other placement, else the other's."""
    rows = []
    for layer, pair in enumerate(zip(ours.expert_of_slot, other.expert_of_slot, strict=True)):
        here, there = (worth(layer, slots) for slots in pair)
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
