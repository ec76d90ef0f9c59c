"""What a plan answers: how many workers, and whether together or apart.

How a result is shown and dumped is registered by its room (`sizing/`, `pools/`: table, dump), which knows the result.
"""

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from rich.console import RenderableType

from shadowprice.capacity import Price, Stability, in_words
from shadowprice.disaggregation import Estimate, GoodputBound, PoolRates, Slo, Split
from shadowprice.fleet.fleet import Fleet
from shadowprice.plan.bursts import Burst
from shadowprice.plan.measure import At, Rules
from shadowprice.plan.targets import Targets
from shadowprice.printed import Printed
from shadowprice.simulate.pools_study import Outcome, Setting
from shadowprice.workload.trace import Trace


@singledispatch
def shown(result: object) -> RenderableType:
    """What is printed of a result."""
    raise TypeError(f"no table is registered for {type(result).__name__}")


@singledispatch
def dumped(result: object) -> dict[str, Any]:
    """A result as plain JSON values."""
    raise TypeError(f"no JSON is registered for {type(result).__name__}")


@dataclass(frozen=True)
class Plan(Printed):
    """How many workers a trace takes. workers_slo: least within the targets, None where none was found or `impossible`.

    at: the fleets that were simulated, by size. doubled, worst: a 2x burst, and the trace's own worst minutes, on the
    planned fleet (workers_slo, or the stable minimum without targets). unjudged: why the trace is too short, or None.
    """

    trace: Trace
    fleet: Fleet
    targets: Targets
    rules: Rules
    stability: Stability
    workers_stable: int
    workers_slo: int | None
    at: tuple[At, ...]
    prices: dict[str, Price]
    doubled: Burst | None
    worst: Burst | None
    impossible: str | None
    unjudged: str | None
    notes: tuple[str, ...]

    @property
    def workers(self) -> int | None:
        """The planned size: within the targets, or stable where there are none."""
        return self.workers_slo if self.targets.any else self.workers_stable

    @property
    def answered(self) -> bool:
        """Whether there is a size, and the trace is long enough to believe it."""
        return self.workers is not None and self.unjudged is None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (docs/capacity.md has the schema)."""
        return dumped(self)

    def __rich__(self) -> RenderableType:
        return shown(self)


def binding_in_words(found: Plan) -> str:
    """What limits the planned fleet: the latency target or, where stability already asks for as many, the resource."""
    if found.workers is None or found.workers == found.workers_stable:
        return in_words(found.stability)
    name = "TTFT" if found.targets.ttft_s is not None else "TPOT"
    fewer = next((at for at in found.at if at.workers == found.workers - 1), None)
    if fewer is not None and found.targets.tpot_s is not None and (fewer.tpot_s.value or 0) > found.targets.tpot_s:
        name = "TPOT" if (fewer.ttft_s.value or 0) <= (found.targets.ttft_s or float("inf")) else "TTFT and TPOT"
    asks = f"{name} targets ask" if " and " in name else f"{name} target asks"
    return f"the {asks} for more than stability; under load, {in_words(found.stability)}"


@dataclass(frozen=True)
class PoolsPlan(Printed):
    """Every design that was tried, together and apart, at its goodput on the fleet's workers; the bound on all of them.

    rates, split: closed forms of the stable rates and the split that is best by them. expected: what the formulas of
    `disaggregation/fluid.py` expect. unjudged: why the trace is too short, or None.
    """

    setting: Setting
    fleet: Fleet
    slo: Slo
    together: tuple[Outcome, ...]
    apart: tuple[Outcome, ...]
    bound: GoodputBound
    rates: PoolRates
    split: Split
    expected: Estimate
    unjudged: str | None
    notes: tuple[str, ...]

    @property
    def best_together(self) -> Outcome:
        """The chunk size with the highest goodput."""
        return max(self.together, key=lambda outcome: outcome.rate_per_s)

    @property
    def best_apart(self) -> Outcome:
        """The split with the highest goodput."""
        return max(self.apart, key=lambda outcome: outcome.rate_per_s)

    @property
    def gpus(self) -> int:
        """GPUs of the compared fleet."""
        return self.setting.workers * self.fleet.gpus_per_worker

    @property
    def gain(self) -> float:
        """Goodput of the best split over that of the best chunk size, less 1; infinite where only a split serves."""
        ours, theirs = self.best_apart.rate_per_s, self.best_together.rate_per_s
        return ours / theirs - 1 if theirs > 0 else (math.inf if ours > 0 else 0.0)

    @property
    def answered(self) -> bool:
        """Whether some design serves within the SLO, on a trace long enough to believe it."""
        return self.unjudged is None and max(self.best_together.rate_per_s, self.best_apart.rate_per_s) > 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (docs/disaggregation.md has the schema)."""
        return dumped(self)

    def __rich__(self) -> RenderableType:
        return shown(self)
