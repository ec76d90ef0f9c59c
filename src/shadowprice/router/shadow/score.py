"""Shadow evaluation: every routing policy scored on the requests just served, beside the active one, with the bound.

`evaluate` is a function of a trace and a fleet and simulates; `runner.py` keeps the recent requests and has them
evaluated in another process; `trace.py` makes them a trace, and says what was measured.

What the scores mean: ranks in lockstep are the model of `simulate/barrier.py`, whose bounds are those of
`routing/optimum.py` on the seconds that all steps take together, one near when slots bind and one when ranks run half
empty; independent replicas are the engines of `simulate/cluster.py`, first come first served inside, whose bound is
that of `scheduling/latency_bound.py` on the mean latency. Either has the step time that the router learned. The trace
holds what finished: requests still running are not in it, and those refused or without a token have no part in it. How
far the model is from this fleet is seen in the active policy's row beside what was measured.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.routing.optimum import barrier_time_bound, busy_time_bound
from shadowprice.routing.policies import MOST_PASSES, POLICIES, NamedPolicy, make
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.cluster import simulate_cluster
from shadowprice.workload.trace import Trace

ROUNDING = 1e-9  # of a sum of many floats


@dataclass(frozen=True)
class ShadowSetting:
    """The fleet as the router knows it now, and how it decides; `active`: the routing policy's name.

    slots: per worker. kv_tokens: KV memory of a replica; None: as much as its slots can fill. pool: ranks in lockstep
    are given requests from a central queue, the oldest so many at a time; None: on arrival, as replicas always.
    prefill_kv_tokens, most_passes: of the policies that have them.
    """

    workers: int
    slots: int
    step_time: StepTime
    lockstep: bool
    active: str
    kv_tokens: int | None = None
    pool: int | None = None
    prefill_kv_tokens: float = 0.0
    most_passes: int = MOST_PASSES


@dataclass(frozen=True)
class Service:
    """How requests were served: quantiles and means over them [s]; NaN where there is no request to take them over."""

    ttft_p50_s: float
    ttft_p99_s: float
    tpot_s: float
    e2e_mean_s: float
    throughput_tok_s: float


@dataclass(frozen=True)
class ShadowRow:
    """A policy's score. value, bound: of the result's objective; gap = (value - bound) / bound.

    idle_share: of worker time in steps, spent waiting for slower ranks (0 for replicas). passes: the most younger
    requests that went before one.
    """

    policy: str
    active: bool
    service: Service
    idle_share: float
    passes: int
    value: float
    bound: float | None

    @property
    def gap(self) -> float | None:
        """None without a bound."""
        return (self.value - self.bound) / self.bound if self.bound else None

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its gap included; None where there is no number."""
        row = asdict(self)
        return plain(row.pop("service") | row | {"gap": self.gap})


@dataclass(frozen=True)
class ShadowResult:
    """All policies on one trace. objective, unit: what value and bound are of; bound_method; model: in words."""

    requests: int
    window_s: float
    workers: int
    model: str
    objective: str
    unit: str
    bound_method: str
    rows: tuple[ShadowRow, ...]

    def of(self, policy: str) -> ShadowRow | None:
        """The row of this policy."""
        return next((row for row in self.rows if row.policy == policy), None)

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {name: value for name, value in vars(self).items() if name != "rows"} | {
            "rows": [row.to_json() for row in self.rows]
        }


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values with None in place of NaN and infinities."""
    return {name: None if isinstance(v, float) and not isfinite(v) else v for name, v in values.items()}


def evaluate(trace: Trace, setting: ShadowSetting, policies: Iterable[str] | None = None) -> ShadowResult:
    """Every policy on the trace, from a fresh memory; the same arguments give the same result.

    Raises PolicyError for unknown policies and impossible numbers, InfeasibleError for requests larger than a worker.
    """
    workers, slots, step_time = setting.workers, setting.slots, setting.step_time
    names = tuple(POLICIES if policies is None else policies)
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        raise PolicyError(f"unknown routing policy {unknown[0]!r}; expected some of {', '.join(POLICIES)}")
    if workers < 1 or slots < 1 or len(trace) == 0:
        raise PolicyError(
            f"{workers} workers of {slots} slots and {len(trace)} requests to evaluate; expected one of each at least"
        )
    numbers = {"prefill_kv_tokens": setting.prefill_kv_tokens, "most_passes": setting.most_passes}
    known = {name: make(name, **numbers) for name in names}
    if setting.lockstep:
        rows, method = _in_lockstep(trace, known, setting)
        model = f"{workers} ranks in lockstep of {slots} slots, decode steps; {_time_in_words(step_time)}"
        objective, unit = "time of all steps", "s"
    else:
        worker = _replica(trace, slots, step_time, setting.kv_tokens)
        rows, method = _apart(trace, known, setting.active, workers, worker)
        model = (
            f"{workers} independent replicas of vLLM V1, first come first served, without prefix cache; {slots} "
            f"sequences, {worker.kv_tokens:,} KV tokens; {_time_in_words(step_time)}"
        )
        objective, unit = "mean end-to-end latency", "s"
    return ShadowResult(len(trace), trace.span_s, workers, model, objective, unit, method, rows)


def _time_in_words(time_: StepTime) -> str:
    return (
        f"a step takes {time_.fixed_s * 1e3:.3g} ms + {time_.per_sequence_s * 1e6:.3g} us a sequence + "
        f"{time_.per_kv_token_s * 1e9:.3g} ns a KV token + {time_.per_prefill_token_s * 1e6:.3g} us a prompt token"
    )


def _in_lockstep(
    trace: Trace, policies: Mapping[str, NamedPolicy], setting: ShadowSetting
) -> tuple[tuple[ShadowRow, ...], str]:
    workers, slots, step_time = setting.workers, setting.slots, setting.step_time
    bounds_s = {
        "averaging over ranks with all slots full, any routing and order": barrier_time_bound(
            trace.prompt_tokens, trace.output_tokens, workers=workers, slots=slots, step_time=step_time
        ),
        "while a request is there a step runs, any routing that idles no fleet": busy_time_bound(
            trace.arrival_s, trace.prompt_tokens, trace.output_tokens, step_time
        ),
    }
    method = max(bounds_s, key=lambda name: bounds_s[name])
    rows = []
    for name, policy in policies.items():
        run = simulate_barrier(trace, policy, Ranks(workers, slots, step_time), pool=setting.pool)
        service = _service(trace, run.first_token_s, run.finish_s)
        idle_share = run.idle_s / (workers * run.barrier_s)
        rows.append(
            ShadowRow(
                name,
                name == setting.active,
                service,
                idle_share,
                int(run.passes.max()),
                run.barrier_s,
                bounds_s[method],
            )
        )
    return _with_bound(rows, method)


def _apart(
    trace: Trace, policies: Mapping[str, NamedPolicy], active: str, workers: int, worker: Worker
) -> tuple[tuple[ShadowRow, ...], str]:
    bound = latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, worker, workers)
    rows = []
    for name, policy in policies.items():
        run = simulate_cluster(trace, worker, workers, fcfs(), policy)
        service = _service(trace, run.served.first_token_s, run.served.finish_s)
        rows.append(ShadowRow(name, name == active, service, run.idle_share, 0, service.e2e_mean_s, bound.mean_s))
    return _with_bound(rows, f"{bound.method}, any router and order")


def _replica(trace: Trace, slots: int, step_time: StepTime, kv_tokens: int | None) -> Worker:
    worker = Worker(step_time, max_num_seqs=slots)
    if kv_tokens is None:
        longest = int((trace.prompt_tokens + trace.output_tokens).max())
        kv_tokens = slots * worker.block_size * -(-longest // worker.block_size)
    return Worker(step_time, max_num_seqs=slots, kv_tokens=kv_tokens)


def _with_bound(rows: list[ShadowRow], method: str) -> tuple[tuple[ShadowRow, ...], str]:
    """The rows as they are; without their bound, should a simulated policy ever beat it: then it was none."""
    beaten = [row for row in rows if row.bound is not None and row.value < row.bound * (1 - ROUNDING)]
    if not beaten:
        return tuple(rows), method
    return tuple(
        replace(row, bound=None) for row in rows
    ), f"none: {beaten[0].policy} was simulated below what should have been a bound ({method})"


def _service(trace: Trace, first_token_s: FloatArray, finish_s: FloatArray) -> Service:
    decodes = trace.output_tokens - 1
    several = decodes > 0
    ttft_s = first_token_s - trace.arrival_s
    tpot_s = (finish_s - first_token_s)[several] / decodes[several]
    return Service(
        ttft_p50_s=float(np.quantile(ttft_s, 0.5)),
        ttft_p99_s=float(np.quantile(ttft_s, 0.99)),
        tpot_s=float(tpot_s.mean()) if len(tpot_s) else float("nan"),
        e2e_mean_s=float((finish_s - trace.arrival_s).mean()),
        throughput_tok_s=float(trace.output_tokens.sum()) / float(finish_s.max() - trace.arrival_s[0]),
    )
