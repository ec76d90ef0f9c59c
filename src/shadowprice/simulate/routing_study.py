"""Every routing policy over a trace, behind a barrier: when slots bind, and when requests are dispatched on arrival.

slots_bind: all requests wait in a central queue that never empties; the oldest `pool` are offered whenever a slot is
free. The heuristics take the oldest (order of arrival), ours choose among them. immediate: requests are routed when
they arrive, at a share (`load`) of the throughput that order of arrival sustains with all slots taken (least KV).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from shadowprice.errors import TraceError
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing.optimum import barrier_time_bound
from shadowprice.routing.policies import POLICIES, NamedPolicy, least_kv, make
from shadowprice.simulate._barrier_run import POWER, BarrierRun, Power
from shadowprice.simulate.barrier import STEP_TIME, Ranks, simulate_barrier
from shadowprice.workload.operations import scale_rate
from shadowprice.workload.trace import Ragged, Trace

SLOTS_BIND, IMMEDIATE = "slots_bind", "immediate"


@dataclass(frozen=True)
class Setting:
    """What all cells of a study share. copies: how often the trace is laid end to end; gap_s: between two copies."""

    load: float = 0.9
    pool: int = 64
    copies: int = 4
    gap_s: float = 0.5
    step_time: StepTime = STEP_TIME
    power: Power = POWER


SETTING = Setting()


@dataclass(frozen=True)
class Row:
    """One policy in one cell; the measures are those of `BarrierRun`.

    bound: of idle_share, by the run's own admissions. barrier_s, barrier_bound_s: seconds of steps of the whole run,
    and how few any routing of these requests could take. passes: most younger requests assigned before one that
    waited; most_passes: the policy's bound on that, None where it takes requests in order.
    """

    trace: str
    workers: int
    slots: int
    regime: str
    policy: str
    idle_share: float
    imbalance_tokens: float
    throughput_tok_s: float
    tpot_s: float
    ttft_p99_s: float
    energy_j_per_token: float
    bound: float
    barrier_s: float
    barrier_bound_s: float
    passes: int
    most_passes: int | None

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values; None where there is no number."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def slots_of(workers: int) -> int:
    """Slots per worker of the published cells: 64, and 32 from 64 workers on."""
    return 64 if workers < 64 else 32


def repeated(trace: Trace, copies: int, gap_s: float) -> Trace:
    """The trace `copies` times end to end, each copy with prompts and sessions of its own."""
    n = len(trace)
    if n == 0:
        raise TraceError(f"{trace.name}: no requests to route")
    copy = np.repeat(np.arange(copies), n)
    arrival_s = np.tile(trace.arrival_s - trace.arrival_s[0], copies) + copy * (trace.span_s + gap_s)
    long = trace.take(np.tile(np.arange(n), copies), arrival_s)
    if long.prefix is not None and len(long.prefix.values):
        blocks = np.unique(long.prefix.values, return_inverse=True)[1]
        own = blocks + (blocks.max() + 1) * np.repeat(copy, np.diff(long.prefix.offsets))
        long = replace(long, prefix=Ragged(own, long.prefix.offsets))
    if long.session is not None:
        sessions = np.unique(long.session, return_inverse=True)[1]
        long = replace(long, session=np.where(long.session < 0, -1, sessions + (sessions.max() + 1) * copy))
    return long


def at_load(trace: Trace, workers: int, slots: int, setting: Setting) -> Trace:
    """The trace at `setting.load` of the rate that order of arrival sustains with all slots taken."""
    full = _run(trace, least_kv(), workers, slots, SLOTS_BIND, setting)
    rate = setting.load * full.throughput_tok_s / float(trace.output_tokens.mean())
    if not (math.isfinite(rate) and math.isfinite(trace.rate_per_s)):
        raise TraceError(
            f"{trace.name}: too few requests for {workers} workers of {slots} slots: no steady part; "
            "expected many times as many requests as slots, not all at one moment"
        )
    return scale_rate(trace, rate / trace.rate_per_s)


def _run(trace: Trace, policy: NamedPolicy, workers: int, slots: int, regime: str, setting: Setting) -> BarrierRun:
    bind = regime == SLOTS_BIND
    return simulate_barrier(
        trace,
        policy,
        Ranks(workers, slots, setting.step_time, setting.power),
        pool=setting.pool if bind else None,
        saturated=bind,
    )


def study(
    traces: Iterable[Trace],
    workers: Iterable[int],
    *,
    slots: int | None = None,
    policies: Iterable[str] | None = None,
    setting: Setting = SETTING,
) -> Iterator[Row]:
    """Row after row: for each trace, number of workers and regime, every policy.

    slots: per worker, by default 64, and 32 from 64 workers on.

    Raises TraceError for traces without requests, or too short to reach a steady part.
    """
    names, counts = tuple(POLICIES if policies is None else policies), tuple(workers)
    for trace in traces:
        long = repeated(trace, setting.copies, setting.gap_s)
        for count in counts:
            size = slots_of(count) if slots is None else slots
            cells = {SLOTS_BIND: long, IMMEDIATE: at_load(long, count, size, setting)}
            bound_s = barrier_time_bound(
                long.prompt_tokens, long.output_tokens, workers=count, slots=size, step_time=setting.step_time
            )
            for regime, arrivals in cells.items():
                for name in names:
                    policy = make(name)
                    run = _run(arrivals, policy, count, size, regime, setting)
                    yield _row(trace.name, count, size, regime, policy, run, bound_s)


def _row(
    trace: str, workers: int, slots: int, regime: str, policy: NamedPolicy, run: BarrierRun, bound_s: float
) -> Row:
    return Row(
        trace=trace,
        workers=workers,
        slots=slots,
        regime=regime,
        policy=policy.name,
        idle_share=run.idle_share,
        imbalance_tokens=run.imbalance_tokens,
        throughput_tok_s=run.throughput_tok_s,
        tpot_s=run.tpot_s,
        ttft_p99_s=run.ttft_p99_s,
        energy_j_per_token=run.energy_j_per_token,
        bound=run.idle_bound,
        barrier_s=run.barrier_s,
        barrier_bound_s=bound_s,
        passes=int(run.passes.max()),
        most_passes=policy.most_passes if regime == SLOTS_BIND else None,
    )
