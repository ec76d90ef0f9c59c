"""What the means say about goodput under an SLO, together and apart: an estimate to decide by, not a bound.

Let w_p = e E[s] and w_d be the mean cost of a request's prompt and of its decode steps, c a step's fixed time, tau and
theta the limits on TPOT and TTFT, K the largest chunk. A worker busy for a share u of the time with such costs spends
the rest on fixed times, so its steps last T = c / (1 - u): that is the TPOT. At r requests per second on N workers

    together            u = r (w_p + w_d) / N,    T <= tau    <=>   r <= N (1 - c/tau) / (w_p + w_d)
    apart, x prefill    u = r w_d / (N - x),      T <= tau    <=>   r <= (N - x) (1 - c/tau) / w_d

with tau less the exposed transfer per further token where the prefill worker sends the first one. Both stay below the
closed-form rates of `optimum` (slots, memory, token budget, link). A prompt takes c + e s alone, and together
T r w_d / N more for the decoding that goes on in its step; one of many that share full steps takes s/K of such a step.
It waits as in M/G/k for k workers: mean by Sakasegawa (1977), with an exponential tail; together also half a step and,
where steps are decided a step ahead, another one. With R_k the highest rate at which no larger share than
1 - attainment gets its first token after theta from k workers that prefill so, splitting pays when

    max over x of min( (N - x) min(r_decode, (1 - c/tau) / w_d), x r_link, R_x apart )
                 > min( N min(r_together, (1 - c/tau) / (w_p + w_d)), R_N together ),

a condition on theta, tau, the lengths, N and the bandwidth. **Where TTFT and whole workers do not matter** it is short
(`pays_by_tpot`): the TPOT limit must be less than a full prefill step, tau < c + e K. Together, prompts ride in steps
of tau seconds, of which c is lost; apart, in steps of c + e K seconds. Source: ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.disaggregation.optimum import phases, pool_rates
from shadowprice.disaggregation.problem import PoolsProblem

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
    time, chunk = worker.step_time, worker.max_num_batched_tokens
    decode_s = float(phases(problem.prompt_tokens, problem.output_tokens, worker, worker)[1].own_s.mean())
    prompt_s = time.per_prefill_token_s * prompt
    both_s = float(prompt_s.mean()) + decode_s

    def late(rate: float) -> float:
        step_s = time.fixed_s / (1 - min(rate * both_s / workers, 1 - 1e-9))
        beside_s = time.fixed_s + step_s * rate * decode_s / workers
        service_s = beside_s * np.ceil(prompt / chunk) + prompt_s
        busy_s = float(np.mean(prompt_s + beside_s * prompt / chunk))
        joins_s = step_s * (1.5 if worker.async_scheduling else 0.5)
        return late_share(rate, service_s, busy_s, workers, slo.ttft_s - service_s - joins_s)

    by_tpot = workers * (1 - time.fixed_s / slo.tpot_s) / both_s
    return _highest(late, min(workers * pool_rates(problem).together_per_s, by_tpot), 1 - slo.attainment)


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
