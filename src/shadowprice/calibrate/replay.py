"""Replays a measured log through the engine simulator, and fits the step time so that the replay comes out right."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares, minimize

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.readers import MeasuredLog

Statistics = dict[str, dict[str, float]]  # of ttft, e2e and tpot: mean, p50 and p90

TINY_S = 1e-6  # no span of a real log is shorter; keeps ratios finite
OUTLIER = 0.02  # residuals beyond this count linearly: one request that joined a step late must not bend the fit
DECISIVE = 0.8  # costs nearer than this say nothing: they scatter by a tenth with the start of the search
NEGLIGIBLE = 1e-5  # cost per request that nobody minds: each time about 0.3 % off
USUAL = 0.1  # weight of the pull towards the usual coefficients: e times as much costs as a request 10 % off
PREFILL = 0.1  # weight of the residual that tells long steps from short ones; the latencies themselves have 1


@dataclass(frozen=True)
class Match:
    """A worker, and how badly its replay misses the log: the sum of the squared misses, outliers counted less."""

    worker: Worker
    cost: float


def replay(log: MeasuredLog, worker: Worker) -> EngineRun:
    """The log's requests served first come first served by the simulated worker."""
    return simulate(log.trace, worker, fcfs())


@dataclass(frozen=True)
class Target:
    """What a replay shall reproduce: the times in `log` of the requests `rows` (int64).

    usual: a plausible step time. Where the log cannot tell costs apart they stay near it instead of running to zero.
    until_s: what was measured later does not count.
    """

    log: MeasuredLog
    rows: IntArray
    usual: StepTime
    until_s: float = np.inf

    def miss(self, worker: Worker) -> FloatArray:
        """What the worker's replay misses, [4 * len(rows) + 4]: four blocks per request, one entry per coefficient.

        First token and last token against the measured, divided by the measured end-to-end latency; the time between
        them, divided by itself; and, with little weight since one step more or less is much of it, the log of the
        ratio of the times from admission (of a client's log: from arrival) to first token, which shows how long a step
        with prefill takes. Last, with
        next to no weight, the logs of the ratios to the usual coefficients.
        """
        run, log, rows = replay(self.log, worker), self.log, self.rows
        first, last = log.first_token_s[rows], log.last_token_s[rows]
        whole = np.maximum(last - log.trace.arrival_s[rows], TINY_S)
        decode = last - first
        missed = (run.finish_s - run.first_token_s)[rows] - decode
        admitted_s = run.scheduled_s if log.admissions else log.trace.arrival_s
        prefill = np.maximum(first - log.scheduled_s[rows], TINY_S)
        replayed = np.maximum((run.first_token_s - admitted_s)[rows], TINY_S)
        begun, done = first <= self.until_s, last <= self.until_s
        return np.concatenate(
            [
                begun * (run.first_token_s[rows] - first) / whole,
                done * (run.finish_s[rows] - last) / whole,
                done * np.divide(missed, decode, out=np.zeros(len(rows)), where=decode > 0),
                begun * PREFILL * np.clip(np.log(replayed / prefill), -3.0, 3.0),
                USUAL * np.log(np.array(astuple(worker.step_time)) / np.array(astuple(self.usual))),
            ]
        )

    def match(self, worker: Worker) -> Match:
        """The worker as it is, with its cost."""
        return Match(worker, _soft(self.miss(worker)))


def fit_step_time(
    target: Target, worker: Worker, starts: Iterable[StepTime], evaluations: int, free: tuple[int, ...] = (0, 1, 2, 3)
) -> Match:
    """The step time with which the worker's replay is nearest to the target, by Gauss-Newton in its logs.

    worker: the limits. starts: where to begin, at least one, no coefficient 0; the best end wins. free: which of the
    coefficients may move.
    """
    moves = np.eye(4)[list(free)]

    def descend(start: StepTime) -> Match:
        def moved(x: FloatArray) -> Worker:
            return replace(worker, step_time=_times(start, x @ moves))

        found: Any = least_squares(
            lambda x: target.miss(moved(x)),
            np.zeros(len(free)),
            bounds=(-6.0, 6.0),
            loss="soft_l1",
            f_scale=OUTLIER,
            diff_step=0.01,  # a smaller one sees single requests jump from step to step
            max_nfev=evaluations,
        )
        return Match(moved(found.x), float(found.cost))

    return min((descend(start) for start in starts), key=lambda end: end.cost)


def search_around(target: Target, match: Match, evaluations: int) -> Match:
    """A better step time near the match's: simplex searches in ever smaller steps, each followed by Gauss-Newton.

    A simplex needs no derivatives, so it gets across the small jumps of the cost at which a request changes its step.
    """
    for scale in (0.3, 0.1, 0.03):
        moved = _simplex(target, match, scale, evaluations)
        then = fit_step_time(target, moved.worker, [moved.worker.step_time], evaluations // 10)
        match = min(match, moved, then, key=lambda end: end.cost)
    return match


def unfixed(target: Target, match: Match, evaluations: int) -> list[str]:
    """Coefficients that could be twice or half as large, the others fitted anew, without the cost telling it."""
    found = []
    for i, name in enumerate(StepTime.__dataclass_fields__):
        others = tuple(j for j in range(4) if j != i)
        shift = np.eye(4)[i] * np.log(2.0)
        for start in (_times(match.worker.step_time, shift), _times(match.worker.step_time, -shift)):
            if not decides(target, match, fit_step_time(target, match.worker, [start], evaluations, others)):
                found.append(name)
                break
    return found


def decides(target: Target, match: Match, other: Match) -> bool:
    """Is the match so much nearer to the log than the other that it is no accident of the search?"""
    return match.cost < DECISIVE * other.cost - NEGLIGIBLE * len(target.rows)


def _simplex(target: Target, match: Match, scale: float, evaluations: int) -> Match:
    start = match.worker.step_time

    def worker(x: FloatArray) -> Worker:
        return replace(match.worker, step_time=_times(start, np.clip(x, -6.0, 6.0)))

    simplex = np.vstack([np.zeros(4), scale * np.eye(4)])
    options = {"initial_simplex": simplex, "maxfev": evaluations}
    found: Any = minimize(lambda x: _soft(target.miss(worker(x))), np.zeros(4), method="Nelder-Mead", options=options)
    return Match(worker(found.x), float(found.fun))


def _times(step_time: StepTime, x: FloatArray) -> StepTime:
    """Every coefficient times exp(x)."""
    return StepTime(*(float(value) for value in np.array(astuple(step_time)) * np.exp(x)))


def _soft(misses: FloatArray) -> float:
    """The soft-l1 cost as scipy's least_squares has it."""
    return float(OUTLIER**2 * np.sum(np.sqrt(1 + (misses / OUTLIER) ** 2) - 1))


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
