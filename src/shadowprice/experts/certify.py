"""Expert placement and dispatch as certificates: what each policy attains against what none can beat."""

import time

import numpy as np

from shadowprice.certificate import Certificate
from shadowprice.experts.compare import Comparison, compare, max_over_mean
from shadowprice.experts.loads import ExpertLoads, Routing
from shadowprice.experts.options import ExpertOptions
from shadowprice.experts.place import value_of
from shadowprice.experts.policies import POLICIES
from shadowprice.experts.problem import Placement

OBJECTIVE, UNIT = "largest GPU load, mean over batches and layers", "mean GPU loads"
METHOD = "averages, pigeonhole, fractional replicas"
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
    best = found.row("shadowprice", "optimal").max_over_mean
    judged = found.judged
    gpus = found.placements["eplb"].gpus
    model = f"{judged.name}: {judged.layers} layers, {judged.experts} experts, {gpus} GPUs{_notes(found)}"
    certificates = []
    for row in found.rows:
        if row.dispatch == "even" or (row.placement, row.dispatch) == ("shadowprice", "optimal"):
            name = f"{row.placement}, {row.dispatch} split"
            certificates.append(
                _certificate("expert placement", name, row.max_over_mean, row.bound, METHOD, model, seconds, best)
            )
    return certificates


def _notes(found: Comparison) -> str:
    return "".join(f"; {note}" for note in found.notes)


def _dispatch(found: Comparison, rng: np.random.Generator) -> list[Certificate]:
    placement = found.placements["eplb"]
    started = time.perf_counter()
    bound = _least(found.judged, placement)
    values = {name: max_over_mean(found.judged, placement, policy, rng) for name, policy in POLICIES.items()}
    model = f"{found.judged.name}: EPLB's placement, {placement.gpus} GPUs{_notes(found)}"
    seconds = time.perf_counter() - started
    return [
        _certificate("expert dispatch", name, value, bound, "min cut, exact", model, seconds, values["optimal"])
        for name, value in values.items()
    ]


def _least(loads: ExpertLoads, placement: Placement) -> float:
    """Mean over batches and layers of the exact min-max split, in units of the mean GPU load."""
    relative = loads.relative(placement.gpus)
    largest = [
        value_of(relative[:, layer], slots, placement.gpus, "optimal")
        for layer, slots in enumerate(placement.expert_of_slot)
    ]
    return float(np.mean(np.maximum(largest, 1.0)))


def _certificate(
    decision: str, policy: str, value: float, bound: float, method: str, model: str, seconds: float, best: float
) -> Certificate:
    if bound > value * (1 + 1e-9):
        raise RuntimeError(f"{model}: {policy} reaches {value}, below the bound of {bound}: one of the two is wrong")
    if value <= best * (1 + WORTH_CHANGING):
        advice = f"Keep it: no policy here is {100 * WORTH_CHANGING:.0f} % better."
    else:
        advice = f"The best policy here takes {100 * (1 - best / value):.0f} % off the slowest GPU's load."
    return Certificate(decision, OBJECTIVE, UNIT, "cost", policy, value, bound, method, model, seconds, None, advice)
