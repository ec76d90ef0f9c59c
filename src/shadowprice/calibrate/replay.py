"""Replays a measured log through the engine simulator, and fits the step time so that the replay comes out right."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.readers import MeasuredLog
from shadowprice.workload.trace import FloatArray, IntArray

Statistics = dict[str, dict[str, float]]  # of ttft, e2e and tpot: mean, p50 and p90

TINY_S = 1e-6  # no span of a real log is shorter; keeps ratios finite
OUTLIER = 0.02  # residuals beyond this count linearly: one request that joined a step late must not bend the fit
DECISIVE = 0.8  # costs nearer than this say nothing: they scatter by a tenth with the start of the search
PREFILL = 0.1  # weight of the residual that tells long steps from short ones; the latencies themselves have 1


@dataclass(frozen=True)
class Match:
    """A worker, how badly its replay misses (sum of bounded squared residuals), and step times that do about as well.

    rivals: the ends of searches from other starts whose cost is below cost / DECISIVE, the worker's own among them.
    """

    worker: Worker
    cost: float
    rivals: tuple[StepTime, ...]


def replay(log: MeasuredLog, worker: Worker) -> EngineRun:
    """The log's requests served first come first served by the simulated worker."""
    return simulate(log.trace, worker, fcfs())


def residuals(log: MeasuredLog, run: EngineRun, rows: IntArray) -> FloatArray:
    """What the replay misses, per request of `rows`: [4 * len(rows)], four blocks.

    First token and last token against the measured, divided by the measured end-to-end latency; the time between
    them, divided by itself; and, with little weight since one step more or less is much of it, the log of the ratio
    of the times from admission to first token, which shows how long a step with prefill takes.
    """
    first, last = log.first_token_s[rows], log.last_token_s[rows]
    whole = np.maximum(last - log.trace.arrival_s[rows], TINY_S)
    decode = last - first
    miss = (run.finish_s - run.first_token_s)[rows] - decode
    prefill = np.maximum(first - log.scheduled_s[rows], TINY_S)
    replayed = np.maximum((run.first_token_s - run.scheduled_s)[rows], TINY_S)
    return np.concatenate(
        [
            (run.first_token_s[rows] - first) / whole,
            (run.finish_s[rows] - last) / whole,
            np.divide(miss, decode, out=np.zeros(len(rows)), where=decode > 0),
            PREFILL * np.clip(np.log(replayed / prefill), -3.0, 3.0),
        ]
    )


def fit_step_time(
    log: MeasuredLog, worker: Worker, starts: Iterable[StepTime], rows: IntArray, most_evaluations: int
) -> Match:
    """The step time with which the replay is nearest to the log, by Gauss-Newton in the logs of the coefficients.

    worker: the limits. starts: where to begin, at least one; the best end wins. rows: the requests that count, int64.
    """
    ends = sorted((_descend(log, worker, start, rows, most_evaluations) for start in starts), key=lambda end: end[0])
    cost, best = ends[0]
    rivals = tuple(step_time for other, step_time in ends if other <= cost / DECISIVE)
    return Match(replace(worker, step_time=best), cost, rivals)


def _descend(
    log: MeasuredLog, worker: Worker, start: StepTime, rows: IntArray, most_evaluations: int
) -> tuple[float, StepTime]:
    """Cost and step time at the end of one search."""
    origin = np.array(astuple(start), dtype=np.float64)

    def step_time(x: FloatArray) -> StepTime:
        return StepTime(*(float(value) for value in origin * np.exp(x)))

    def miss(x: FloatArray) -> FloatArray:
        return residuals(log, replay(log, replace(worker, step_time=step_time(x))), rows)

    found: Any = least_squares(
        miss,
        np.zeros(4),
        bounds=(-6.0, 3.0),
        loss="soft_l1",
        f_scale=OUTLIER,
        diff_step=0.01,  # a smaller one sees single requests jump from step to step
        max_nfev=most_evaluations,
    )
    return float(found.cost), step_time(found.x)


def latencies(log: MeasuredLog, run: EngineRun, rows: IntArray) -> tuple[Statistics, Statistics]:
    """Measured and replayed mean, p50 and p90 of ttft, e2e and tpot over `rows` [s].

    ttft: arrival to first token. e2e: arrival to last token. tpot: time per output token after the first, over the
    requests that have more than one.
    """
    arrival = log.trace.arrival_s[rows]
    first, last = log.first_token_s[rows], log.last_token_s[rows]
    decodes = log.trace.output_tokens[rows] - 1
    many = decodes > 0
    measured = {"ttft": first - arrival, "e2e": last - arrival, "tpot": (last - first)[many] / decodes[many]}
    replayed = {"ttft": run.ttft_s[rows], "e2e": run.e2e_s[rows], "tpot": run.tpot_s[rows][many]}
    return _statistics(measured), _statistics(replayed)


def relative(measured: Statistics, replayed: Statistics) -> Statistics:
    """(replayed - measured) / measured of every statistic."""
    return {
        name: {which: replayed[name][which] / value - 1.0 for which, value in statistics.items()}
        for name, statistics in measured.items()
    }


def _statistics(latency_s: dict[str, FloatArray]) -> Statistics:
    return {
        name: {"mean": float(np.mean(x)), "p50": float(np.median(x)), "p90": float(np.quantile(x, 0.9))}
        for name, x in latency_s.items()
    }
