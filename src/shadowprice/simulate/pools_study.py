"""Ways to use the same workers, together with a chunk size or apart in a ratio, and the goodput of each, simulated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.disaggregation import Link, PoolsProblem, Slo, goodput_bound, split_bound_per_s
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.ranked import Ranked
from shadowprice.simulate.disaggregated import FirstToken, PoolsRun, simulate_apart, simulate_together
from shadowprice.workload.operations import scale_rate
from shadowprice.workload.trace import Trace

HALVINGS = 8  # of the search for a rate: to 0.4 % of what is possible at most
PARTS_OF_CHUNK = (1, 2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12, 1 / 16, 1 / 24, 1 / 32)
SMALLEST_CHUNK = 256  # tokens; with fewer a step hardly pays for itself


@dataclass(frozen=True)
class Design:
    """prefill_workers: 0 where all do both. chunk_tokens: max_num_batched_tokens of the workers that prefill."""

    prefill_workers: int
    chunk_tokens: int


@dataclass(frozen=True)
class PoolsSetting:
    """What is compared on: the trace at any rate, `workers` machines like `worker`, scheduled by `policy`.

    worker: with the largest chunk. link: KV from prefill to decode workers, None is free. first_token: see
    `simulate/disaggregated.py`.
    """

    trace: Trace
    worker: Worker
    workers: int
    link: Link | None
    policy: Ranked
    first_token: FirstToken = "prefill"

    def problem(self, slo: Slo, chunk_tokens: int | None = None) -> PoolsProblem:
        """The decision on the trace's lengths, with chunks of so many tokens where workers prefill."""
        chunked = self.worker if chunk_tokens is None else with_chunk(self.worker, chunk_tokens)
        trace = self.trace
        return PoolsProblem(
            trace.prompt_tokens, trace.output_tokens, chunked, chunked, self.worker, self.workers, self.link, slo
        )


@dataclass(frozen=True)
class Outcome:
    """A design at its goodput: the highest rate at which `attainment` of the requests meet the SLO.

    ttft_s, tpot_s: there, at that quantile. inside: share within the SLO. between_tokens: most KV tokens on their way.
    All but the rate are None where it is 0. bound_per_s: that no policy with this design beats.
    """

    design: Design
    rate_per_s: float
    ttft_s: float | None
    tpot_s: float | None
    inside: float | None
    between_tokens: int | None
    bound_per_s: float


def with_chunk(worker: Worker, chunk_tokens: int) -> Worker:
    """The worker with this max_num_batched_tokens, and with no more sequences than that, as vLLM asks."""
    return replace(worker, max_num_batched_tokens=chunk_tokens, max_num_seqs=min(worker.max_num_seqs, chunk_tokens))


def chunks(worker: Worker, parts: Sequence[float] = PARTS_OF_CHUNK) -> list[int]:
    """Chunk sizes to try, largest first: parts of the worker's own, no smaller than 256 or its fewer max_num_seqs."""
    most = worker.max_num_batched_tokens
    least = min(worker.max_num_seqs, SMALLEST_CHUNK, most)
    return sorted({max(round(most * part), least) for part in parts}, reverse=True)


def run_design(setting: PoolsSetting, design: Design, rate_per_s: float) -> PoolsRun:
    """The trace at this rate, on the workers used this way."""
    trace = scale_rate(setting.trace, rate_per_s / setting.trace.rate_per_s)
    chunked = with_chunk(setting.worker, design.chunk_tokens)
    if design.prefill_workers == 0:
        return simulate_together(trace, chunked, setting.workers, setting.policy)
    return simulate_apart(
        trace,
        (chunked, design.prefill_workers),
        (setting.worker, setting.workers - design.prefill_workers),
        setting.policy,
        setting.link,
        first_token=setting.first_token,
    )


def goodput(setting: PoolsSetting, slo: Slo, design: Design) -> Outcome:
    """By bisection between 0 and the design's bound, the same requests in the same order at every rate."""
    bound = design_bound_per_s(setting, slo, design)
    low, high, best = 0.0, bound, None
    rate = high
    for _ in range(HALVINGS + 1 if bound > 0 else 0):
        run = run_design(setting, design, rate)
        inside = float(slo.met_by(run.ttft_s, run.tpot_s).mean())
        if inside >= slo.attainment:
            low, best = rate, (run, inside)
        else:
            high = rate
        if low == bound:
            break
        rate = (low + high) / 2
    if best is None:
        return Outcome(design, 0.0, None, None, None, None, bound)
    run, inside = best
    ttft_s, tpot_s = _quantile(run.ttft_s, slo.attainment), _quantile(run.tpot_s, slo.attainment)
    return Outcome(design, low, ttft_s, tpot_s, inside, run.peak_between_tokens, bound)


def design_bound_per_s(setting: PoolsSetting, slo: Slo, design: Design) -> float:
    """The bound of `disaggregation/optimum.py` for the design's own chunk and ratio."""
    problem = setting.problem(slo, design.chunk_tokens)
    if design.prefill_workers == 0:
        return goodput_bound(problem).rate_per_s
    return split_bound_per_s(problem, design.prefill_workers)


def goodput_grid(
    setting: PoolsSetting,
    design: Design,
    rates_per_s: FloatArray,
    ttft_s: FloatArray,
    tpot_s: FloatArray,
    attainment: float,
) -> FloatArray:
    """Goodput under every pair of limits, [len(ttft_s), len(tpot_s)], from one run at each of the rising rates.

    Interpolated between the last rate that attains the share and the first that does not; 0 where the first does not.
    """
    inside = np.empty((len(rates_per_s), len(ttft_s), len(tpot_s)))
    for i, rate in enumerate(rates_per_s):
        run = run_design(setting, design, float(rate))
        in_time = (run.ttft_s <= ttft_s[:, None]).astype(np.float64)
        steady = (~(run.tpot_s > tpot_s[:, None])).astype(np.float64)
        inside[i] = in_time @ steady.T / len(setting.trace)
    misses = inside < attainment
    first_miss = np.where(misses.any(axis=0), misses.argmax(axis=0), len(rates_per_s))
    last = np.maximum(first_miss - 1, 0)
    after = np.minimum(first_miss, len(rates_per_s) - 1)
    here, there = (np.take_along_axis(inside, k[None], 0)[0] for k in (last, after))
    part = np.divide(here - attainment, here - there, out=np.zeros_like(here), where=here > there)
    found = rates_per_s[last] + part * (rates_per_s[after] - rates_per_s[last])
    return np.asarray(np.where(first_miss == 0, 0.0, found))


def _quantile(values: FloatArray, q: float) -> float | None:
    """NaN left out; None where nothing else is there."""
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if len(known) else None
