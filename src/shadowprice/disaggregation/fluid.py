"""What the means say about goodput under an SLO, together and apart: an estimate to decide by, not a bound.

Let w_d be the mean decode cost of a request, e E[s] that of its prompt, c a step's fixed time, tau the TPOT limit. A
worker whose steps last tau pays c/tau of its time for starting them. So at r requests per second and worker

    together    the share left for prompts is  V = 1 - c/tau - r w_d : a prompt of s tokens takes tau + e s / V
    apart       decode worker:   r w_d <= 1 - c/tau                    prefill worker: a prompt takes c + e s

and both stay below the closed-form rates of `optimum`. Prompts queue as in M/G/k for k workers: mean wait by Sakasegawa
(1977), with an exponential tail. A rate is in reach when no larger share than 1 - attainment gets its first token late.

**When splitting pays** (proved for these formulas in `pays_by_tpot`, where TTFT does not bind): the TPOT limit must be
shorter than a full prefill step, tau < c + e K with K the prefill workers' max_num_batched_tokens. Together, prompts
ride in steps of tau seconds, of which c is lost; apart, in steps of c + e K seconds. If the decode steps can be long
enough, nothing is gained by sending the prompts elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from shadowprice.disaggregation.optimum import phases, pool_rates
from shadowprice.disaggregation.problem import FloatArray, PoolsProblem

HALVINGS = 40


@dataclass(frozen=True)
class Estimate:
    """Estimated goodput [requests/s of the whole fleet] together, and per number of prefill workers 1 .. N - 1."""

    together_per_s: float
    apart_per_s: tuple[float, ...]

    @property
    def best_prefill_workers(self) -> int:
        """0 where together is at least as good as every split."""
        best = max(self.apart_per_s, default=0.0)
        return 0 if best <= self.together_per_s else 1 + self.apart_per_s.index(best)


def estimate(problem: PoolsProblem) -> Estimate:
    """Goodput together and at each split, by the formulas of the module's docstring."""
    return Estimate(
        _together(problem),
        tuple(_apart(problem, x) for x in range(1, problem.workers)),
    )


def pays_by_tpot(problem: PoolsProblem) -> bool:
    """Does splitting pay where a TPOT limit binds and TTFT does not: tau < c + e K.

    Together a request takes (w_p + w_d) / (1 - c/tau) seconds of a worker, w_p = e E[s]. Apart it takes
    w_d / (1 - c/tau) of a decode worker and w_p + c E[s]/K of a prefill worker. The sum is smaller iff
    w_p + c E[s]/K < w_p / (1 - c/tau), that is c/K < e c / (tau - c), that is tau < c + e K. Ours; where slots or
    memory bind instead, less is gained.
    """
    time = problem.prefill.step_time
    full_step_s = time.fixed_s + time.per_prefill_token_s * problem.prefill.max_num_batched_tokens
    return problem.slo.tpot_s < full_step_s


def late_share(rate_per_s: float, service_s: FloatArray, busy_s: float, servers: int, allowed_s: FloatArray) -> float:
    """Share of requests that wait longer than allowed in M/G/k (Sakasegawa's mean wait, exponential tail).

    service_s [n]: their own services, alone. busy_s: mean seconds of a server that one takes when many share steps.
    """
    load = rate_per_s * busy_s / servers
    if load >= 1:
        return 1.0
    waits = load ** (np.sqrt(2 * (servers + 1)) - 1)
    mean_s = float(np.mean(service_s))
    scatter = float(np.mean(service_s**2)) / (2 * mean_s**2)
    wait_s = waits * scatter * busy_s / (servers * (1 - load))
    tail = waits * np.exp(-np.maximum(allowed_s, 0.0) * waits / wait_s) if wait_s > 0 else np.zeros(len(allowed_s))
    return float(np.mean(np.where(allowed_s < 0, 1.0, tail)))


def _together(problem: PoolsProblem) -> float:
    worker, slo, workers = problem.together, problem.slo, problem.workers
    prompt = problem.prompt_tokens.astype(np.float64)
    time = worker.step_time
    fixed_share = time.fixed_s / slo.tpot_s
    decode_s = float(phases(problem.prompt_tokens, problem.output_tokens, worker, worker)[1].own_s.mean())

    def late(rate: float) -> float:
        speed = 1 - fixed_share - rate / workers * decode_s
        if speed <= 0:
            return 1.0
        service_s = time.per_prefill_token_s * prompt / speed
        step_s = min(slo.tpot_s, time.fixed_s + time.per_prefill_token_s * worker.max_num_batched_tokens)
        return late_share(rate, service_s, float(service_s.mean()), workers, slo.ttft_s - service_s - step_s)

    most = workers * pool_rates(problem).together_per_s
    return _highest(late, most, 1 - slo.attainment)


def _apart(problem: PoolsProblem, prefill_workers: int) -> float:
    slo, rates = problem.slo, pool_rates(problem)
    decode_workers = problem.workers - prefill_workers
    decode_s = float(
        phases(problem.prompt_tokens, problem.output_tokens, problem.prefill, problem.decode)[1].own_s.mean()
    )
    decodes = float(np.mean(problem.output_tokens - 1))
    sent_s = 0.0 if problem.link is None else float(problem.link.transfer_s(problem.prompt_tokens).mean())
    exposed_s = 0.0 if problem.link is None else sent_s / problem.link.layers + problem.link.latency_s
    tpot_s = slo.tpot_s - (exposed_s / decodes if decodes > 0 else 0.0)
    left = 1 - problem.decode.step_time.fixed_s / tpot_s if tpot_s > 0 else 0.0
    by_tpot = decode_workers * left / decode_s if decode_s > 0 else inf
    most = min(by_tpot, decode_workers * rates.decode_per_s, prefill_workers * rates.link_per_s)
    first = phases(problem.prompt_tokens, problem.output_tokens, problem.prefill, problem.decode)[0]

    def late(rate: float) -> float:
        allowed_s = slo.ttft_s - first.alone_s
        return late_share(rate, first.alone_s, 1 / rates.prefill_per_s, prefill_workers, allowed_s)

    return _highest(late, min(most, prefill_workers * rates.prefill_per_s), 1 - slo.attainment)


def _highest(late: Callable[[float], float], most: float, allowed: float) -> float:
    """Highest rate up to `most` at which no larger share is late; 0 if there is none."""
    low, high = 0.0, max(most, 0.0)
    if high > 0 and late(high) <= allowed:
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if late(middle) <= allowed else (low, middle)
    return low
