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
from shadowprice.plan.measure import At, Policies
from shadowprice.plan.targets import Targets
from shadowprice.printed import Printed
from shadowprice.simulate.pools_study import Outcome, PoolsSetting
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
    """How many workers a trace takes, and how sure that is; prints itself.

    Parameters
    ----------
    trace : Trace
        What arrives, from time 0.
    fleet : Fleet
        Whose kind of worker was asked about.
    targets : Targets
        Latency targets.
    policies : Policies
        How workers schedule and requests are routed.
    stability : Stability
        The stable rate of one worker, and what binds.
    workers_stable : int
        Least workers that can be stable.
    workers_slo : int or None
        Least within the targets; None where none was found or `impossible`.
    at : tuple of At
        The fleets that were simulated, by size.
    prices : dict of str to Price
        What more of a resource would be worth.
    doubled, worst : Burst or None
        A burst of twice the rate, and the trace's own worst minutes, on the planned fleet.
    impossible : str or None
        Why no number of workers meets the targets.
    unjudged : str or None
        Why the trace is too short.
    notes : tuple of str
        What should be known about trace and simulation.
    """

    trace: Trace
    fleet: Fleet
    targets: Targets
    policies: Policies
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
    """Every design that was tried, together and apart, at its goodput, and the bound on all of them; prints itself.

    Parameters
    ----------
    setting : PoolsSetting
        What all designs share.
    fleet : Fleet
        Whose workers are compared.
    slo : Slo
        What counts as served well.
    together, apart : tuple of Outcome
        The designs, each at its goodput on the fleet's workers.
    bound : GoodputBound
        What no design can beat.
    rates : PoolRates
        Closed forms of the stable rates.
    split : Split
        The split that is best by them.
    expected : Estimate
        What the formulas of `disaggregation/fluid.py` expect.
    unjudged : str or None
        Why the trace is too short.
    notes : tuple of str
        What should be known about trace and simulation.
    """

    setting: PoolsSetting
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
