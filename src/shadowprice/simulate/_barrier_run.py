"""What a run of the barrier simulator did, worked out from the kernel's tables."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.simulate._barrier_state import Model, Tables
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class Power:
    """Power of a worker that makes tokens at a share u of its highest rate: idle_w + (peak_w - idle_w) * u ** exponent.

    The form and the numbers are those under which arXiv 2601.17855 reports its savings: 100 W idle, 400 W where model
    FLOPs saturate, exponent 0.7. FLOPs go with tokens, so u is tokens per second over the most that a worker could
    make, all slots decoding in steps of the fixed time alone.
    """

    idle_w: float = 100.0
    peak_w: float = 400.0
    exponent: float = 0.7


POWER = Power()


@dataclass(frozen=True)
class BarrierRun:
    """What a run did. Per request: worker, passes (younger ones assigned before it), offered_s (arrival, or when it
    came into the pool of a saturated queue), first_token_s, finish_s [s].

    steps, barrier_s: of the whole run; idle_s: worker-seconds waited at the barrier in it. The rest is over the steady
    part, from the first tenth of the arrivals to the last (NaN where there is none): idle_share of worker time;
    imbalance_tokens per step (sum over workers of maximum load - load); throughput_tok_s and energy_j_per_token (when
    not saturated of the whole run, first arrival to last finish); tpot_s (mean over requests); ttft_p99_s.
    idle_bound: idle share below which no placement of the same running requests could come.
    time_s [k], load_tokens [k, G]: samples.
    """

    trace: Trace
    worker: IntArray
    passes: IntArray
    offered_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    steps: int
    barrier_s: float
    idle_s: float
    idle_share: float
    imbalance_tokens: float
    throughput_tok_s: float
    tpot_s: float
    ttft_p99_s: float
    energy_j_per_token: float
    idle_bound: float
    time_s: FloatArray
    load_tokens: FloatArray


def result(trace: Trace, tables: Tables, model: Model) -> BarrierRun:
    """The run that the kernel's tables tell of."""
    requests, workers, run, samples = tables.requests, tables.workers, tables.run[0], tables.samples
    first, finish, offered = (requests[name].copy() for name in ("first_token_s", "finish_s", "offered_s"))
    steady_s = float(run["steady_s"])
    throughput_tok_s, energy_j_per_token = _rates(trace, run, finish, model.saturated)
    nan = float("nan")
    steady = (offered >= run["steady_from_s"]) & (first <= run["steady_until_s"])
    decodes = trace.output_tokens - 1
    several = steady & (decodes > 0)
    idle_s = float(run["steady_idle_s"])
    busy_s = len(workers) * steady_s - idle_s
    bound_s = _indivisible_s(workers, run, model)
    taken = samples[: run["n_samples"]]
    return BarrierRun(
        trace=trace,
        worker=requests["worker"].copy(),
        passes=requests["passes"].copy(),
        offered_s=offered,
        first_token_s=first,
        finish_s=finish,
        steps=int(run["step"]),
        barrier_s=float(run["barrier_s"]),
        idle_s=float(run["idle_s"]),
        idle_share=idle_s / (len(workers) * steady_s) if steady_s else nan,
        imbalance_tokens=float(run["steady_imbalance"]) / run["steady_steps"] if steady_s else nan,
        throughput_tok_s=throughput_tok_s,
        tpot_s=float(np.mean((finish - first)[several] / decodes[several])) if several.any() else nan,
        ttft_p99_s=float(np.quantile((first - offered)[steady], 0.99)) if steady.any() else nan,
        energy_j_per_token=energy_j_per_token,
        idle_bound=bound_s / (busy_s + bound_s) if busy_s > 0 else 0.0,
        time_s=taken[:, 0].copy(),
        load_tokens=taken[:, 1:].copy(),
    )


def _rates(trace: Trace, run: np.void, finish_s: FloatArray, saturated: bool) -> tuple[float, float]:
    """Tokens per second and joules per token: of the steady part when saturated, else of the whole run.

    Of the whole run, since serving a backlog later is no throughput. Hours without any request draw nothing here.
    """
    if not saturated:
        tokens = float(trace.output_tokens.sum())
        return tokens / float(finish_s.max() - trace.arrival_s[0]), float(run["energy_j"]) / tokens
    if run["steady_tokens"] == 0:
        return float("nan"), float("nan")
    tokens = float(run["steady_tokens"])
    return tokens / float(run["steady_s"]), float(run["steady_energy_j"]) / tokens


def _indivisible_s(workers: Records, run: np.void, model: Model) -> float:
    """Idle worker-seconds of the steady part that no placement of the same running requests avoids.

    Where workers are equal and time is load only, whole tokens W cannot be split evenly: the maximum of a step is at
    least ceil(W / G), so the workers idle for at least b * ((-W) mod G). Elsewhere 0. The share of it is
    idle / (busy + idle), which grows with idle while busy is the same under every placement: so it bounds the share.
    """
    whole = float(model.drift_tokens).is_integer() and np.all(workers["speed"] == 1.0)
    if not whole or model.per_sequence_s > 0 or model.per_prefill_token_s > 0:
        return 0.0
    return model.per_kv_token_s * float(run["steady_indivisible"])
