"""Expert placement and dispatch as certificates: what each policy attains against what none can beat."""

import time

import numpy as np

from shadowprice.certificate import Certificate
from shadowprice.experts.compare import Compared, Comparison, compare, value_under
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.experts.options import ExpertOptions
from shadowprice.experts.place import value_of
from shadowprice.experts.policies import POLICIES
from shadowprice.experts.problem import Placement
from shadowprice.experts.timed import SPLITS

OBJECTIVE, UNIT = "largest GPU load, mean over batches and layers", "mean GPU loads"
OBJECTIVE_S, UNIT_S = "slowest GPU's time, mean over batches and layers", "mean GPU times"
PARTED = "each expert's least time parted at will"
WORTH_CHANGING = 0.01  # a smaller share of the slowest GPU's load is not worth moving weights for


def certify_experts(
    loads: ExpertLoads | Routing,
    options: ExpertOptions = ExpertOptions(),
) -> list[Certificate]:
    """Certificates of placement (bound over all placements) and of dispatch (the exact optimum on EPLB's placement).

    Placement is valued under the even split that engines do today, and ours also under the optimal one.
    Raises RuntimeError if a value beats a bound: then one of the two is wrong. Raises ExpertError on bad input.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(options.seed)
    found = compare(loads, options, rng=rng)
    return certify_comparison(found, rng, time.perf_counter() - started)


def certify_comparison(found: Comparison, rng: np.random.Generator, seconds: float) -> list[Certificate]:
    """Certificates of a comparison that took so many seconds to make. Raises RuntimeError if a value beats a bound."""
    return [*_placement(found, seconds), *_dispatch(found, rng)]


def _placement(found: Comparison, seconds: float) -> list[Certificate]:
    method = "averages, pigeonhole, fractional replicas"
    shown = [row for row in found.rows if row.dispatch == "even" or _is_ours_at_its_best(row)]
    return _certificates(
        found,
        "expert placement",
        {f"{row.placement}, {row.dispatch} split": row.max_over_mean for row in shown},
        (found.rows[0].bound, method if found.options.cost is None else f"{PARTED}; {method}"),
        seconds,
    )


def _is_ours_at_its_best(row: Compared) -> bool:
    return (row.placement, row.dispatch) == ("shadowprice", "optimal")


def _dispatch(found: Comparison, rng: np.random.Generator) -> list[Certificate]:
    placement, gemm = found.placements["eplb"], found.options.cost
    started = time.perf_counter()
    bound = _least(found.judged, placement, gemm)
    splits = POLICIES if gemm is None else (*SPLITS, "optimal")
    values = {split: value_under(found.judged, placement, split, rng, gemm)[0] for split in splits}
    method = "min cut, exact" if gemm is None else f"{PARTED}; min cut"
    return _certificates(found, "expert dispatch", values, (bound, method), time.perf_counter() - started)


def _least(loads: ExpertLoads, placement: Placement, gemm: GemmTime | None) -> float:
    """Mean over batches and layers of the min-max split, in units of the mean GPU load.

    Exact where loads are tokens; where they are seconds, a bound on it: each expert takes its least time, parted at
    will (`split_by_tiles`).
    """
    relative = loads.relative(placement.gpus, gemm)
    largest = [
        value_of(relative[:, layer], slots, placement.gpus, "optimal")
        for layer, slots in enumerate(placement.expert_of_slot)
    ]
    return float(np.mean(np.maximum(largest, 1.0)))


def _certificates(
    found: Comparison, decision: str, values: dict[str, float], bound: tuple[float, str], seconds: float
) -> list[Certificate]:
    """One for each policy's value; bound: with its method. The last policy is the one that others could change to."""
    judged, gemm, gpus = found.judged, found.options.cost, found.options.gpus
    placed = decision == "expert placement"
    of = f"{judged.layers} layers, {judged.experts} experts" if placed else "EPLB's placement"
    model = f"{judged.name}: {of}, {gpus} GPUs"
    if gemm is not None:
        model += f"; {gemm.weight_s * 1e6:.3g} us to read an expert, {gemm.tile_s * 1e6:.3g} us a tile of "
        model += f"{gemm.tile_rows} tokens"
    model += "".join(f"; {note}" for note in found.notes)
    best = values[list(values)[-1]]
    made = []
    for policy, value in values.items():
        if bound[0] > value * (1 + 1e-9):
            raise RuntimeError(
                f"{model}: {policy} reaches {value}, below the bound of {bound[0]}: one of the two is wrong"
            )
        if value <= best * (1 + WORTH_CHANGING):
            advice = f"Keep it: no policy here is {100 * WORTH_CHANGING:.0f} % better."
        else:
            what = "load" if gemm is None else "time"
            advice = f"The best policy here takes {100 * (1 - best / value):.0f} % off the slowest GPU's {what}."
        objective, unit = (OBJECTIVE, UNIT) if gemm is None else (OBJECTIVE_S, UNIT_S)
        made.append(Certificate(decision, objective, unit, "cost", policy, value, *bound, model, seconds, None, advice))
    return made
