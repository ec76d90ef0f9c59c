"""The best split of equal machines in closed form, and a bound on goodput that no fleet beats, together or apart.

**Rates.** `fleet/work.py` charges a request own_s + c * (prices @ use) seconds of a worker. Its prompt and its decode
steps need separately what they need together: work(s, o) = work(s, 1) + rest, and the rest is the decode worker's. So

    r_together = 1 / max_x E[p(x)],  r_prefill = 1 / max_x E[p_prefill(x)],  r_decode = 1 / max_x E[p_decode(x)]

are rates beyond which no policy keeps a worker's queue bounded (link: the same with seconds of the wire). A fleet split
x : N - x serves at most min(x r_prefill, (N - x) r_decode): one factor rises with x and the other falls, so the best
real x is N r_decode / (r_prefill + r_decode) and the best whole x is one of its two neighbours.

**Splitting equal hardware never raises the stable rate.** p(x) = p_prefill(x) + p_decode(x) for the same prices x. At
any split the rate is at most N / (1/r_prefill + 1/r_decode), since x >= rate/r_prefill and N - x >= rate/r_decode, and
1/r_prefill + 1/r_decode = max_x E[p_prefill(x)] + max_x E[p_decode(x)] >= max_x E[p(x)] = 1/r_together. Equal only if
one resource binds both phases (and x comes out whole): a worker that does both lets the prompts use the token budget
and the decoding sequences the slots or the memory of the same steps, so a step's fixed time is paid once.

**Goodput.** Let S be the requests that meet the SLO (tau seconds per output token after the first). Let n_k be how many
of S compute something after their first token in step k, of T_k seconds. A request computes in one step at a time, and
all those steps lie between its first token and its last. So the sum of n_k T_k is at most the time that S spends
there, which is at most tau * sum_S (o - 1). Hence for every price m >= 0 [1/s]

    total step time >= sum_k T_k (1 + m n_k) - m tau sum_S (o - 1)

In step k let W be the cost of what those n_k compute, and z the sum of the roots of its n_k parts. T_k >= c + own cost
of everything in the step, and n_k T_k >= n_k c + n_k W >= n_k c + z^2 (Cauchy-Schwarz). With a part y of the first c:
y c + m z^2 >= 2 sqrt(y c m) z; the other part is shared out by prices x, sum(x) <= 1 - y, as in `fleet/work.py`. So
every request is charged p(x) = own + c (x @ use), and each of S besides that (negative where time is to spare)

    extra(y, m) = 2 sqrt(y c m) sum_{j=1..o-1} sqrt(w_j) - m (tau - c) (o - 1)

where w_j is the least cost of its j-th further token (one recomputed over several steps only adds: roots are
subadditive, and each step pays m c). With equal requests and m = y c w / (tau - c)^2 a decode costs w / (1 - c/tau):
what a step of tau seconds that always pays c leaves for it. Prompts cost no more than before, because they may run in
steps without decodes. In the long run let f_i be the share of the requests like request i that are in S. The charges
of all must fit into N workers' time, since all are served to their end:  lambda mean_i(p_i + f_i extra_i) <= N, with
mean_i f_i >= attainment, 0 <= f_i <= 1, and f_i = 0 for who cannot meet the SLO even alone. The f that makes the sum
least takes the smallest extras first, one of them perhaps in part (and beyond them those below 0): it gives the bound.
It holds for any scheduling, routing, chunk size up to the worker's and split of N equal workers. Source: ours.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.disaggregation.problem import PoolsProblem, Slo
from shadowprice.errors import InfeasibleError
from shadowprice.fleet.work import Work, stable_rate_per_s, work
from shadowprice.fleet.worker import Worker

SHARES_OF_STEP = (0.0, 0.25, 0.5, 0.75, 1.0)  # y
SCALES = np.logspace(-1, 1, 9)  # of m around its optimum for equal requests


@dataclass(frozen=True)
class PoolRates:
    """Most requests per second of one worker in each role, and of one prefill worker's link; infinite: no limit."""

    together_per_s: float
    prefill_per_s: float
    decode_per_s: float
    link_per_s: float


@dataclass(frozen=True)
class Split:
    """The best split: prefill and decode workers, the rate that it sustains at most, and the best real number x*."""

    prefill_workers: int
    decode_workers: int
    rate_per_s: float
    continuous: float


@dataclass(frozen=True)
class GoodputBound:
    """No fleet of these workers keeps up more than rate_per_s within the SLO; out_of_reach: share that never meets it.

    prices: of slots, memory and token budget (x). step_share: y. tpot_price_per_s: m, what a second of allowed decode
    time is worth in seconds of worker time, per second.
    """

    rate_per_s: float
    out_of_reach: float
    prices: tuple[float, float, float]
    step_share: float
    tpot_price_per_s: float


def phases(prompt: IntArray, output: IntArray, prefill: Worker, decode: Worker) -> tuple[Work, Work]:
    """Least needs of the prompts on a prefill worker and of the other output tokens on a decode worker."""
    ones = np.ones_like(output)
    whole, first = work(prompt, output, decode), work(prompt, ones, decode)
    rest = Work(whole.own_s - first.own_s, whole.use - first.use, whole.alone_s - first.alone_s, whole.fixed_s)
    return work(prompt, ones, prefill), rest


def pool_rates(problem: PoolsProblem) -> PoolRates:
    """The rates of the module's docstring, for workers in each role."""
    prompt, output = problem.prompt_tokens, problem.output_tokens
    first, rest = phases(prompt, output, problem.prefill, problem.decode)
    wire_s = 0.0 if problem.link is None else float(np.mean(problem.link.transfer_s(prompt) * (output > 1)))
    return PoolRates(
        together_per_s=stable_rate_per_s(work(prompt, output, problem.together)),
        prefill_per_s=stable_rate_per_s(first),
        decode_per_s=stable_rate_per_s(rest) if np.any(output > 1) else inf,
        link_per_s=1 / wire_s if wire_s > 0 else inf,
    )


def best_split(rates: PoolRates, workers: int) -> Split:
    """The split of `workers` machines with the highest rate. Raises InfeasibleError for fewer than two."""
    if workers < 2:
        raise InfeasibleError(f"{workers} worker cannot be split; expected 2 or more")
    prefill = min(rates.prefill_per_s, rates.link_per_s)
    continuous = workers * rates.decode_per_s / (prefill + rates.decode_per_s) if isfinite(rates.decode_per_s) else inf
    whole = min(int(min(continuous, workers)), workers - 1)
    neighbours = [x for x in (whole, whole + 1) if 1 <= x <= workers - 1]
    x = max(neighbours, key=lambda x: split_rate_per_s(rates, x, workers - x))
    return Split(x, workers - x, split_rate_per_s(rates, x, workers - x), min(continuous, float(workers)))


def split_rate_per_s(rates: PoolRates, prefill_workers: int, decode_workers: int) -> float:
    """min(x r_prefill, x r_link, (N - x) r_decode)."""
    return min(prefill_workers * min(rates.prefill_per_s, rates.link_per_s), decode_workers * rates.decode_per_s)


def goodput_bound(problem: PoolsProblem) -> GoodputBound:
    """Bound on the rate at which `attainment` of the requests meet the SLO, all being served to their end.

    For any fleet of `workers` machines like `together` with chunks up to its max_num_batched_tokens.
    """
    prompt, output, worker, slo = problem.prompt_tokens, problem.output_tokens, problem.together, problem.slo
    within = reachable(prompt, output, worker, slo)
    needs = work(prompt, output, worker)
    return _bound(needs, decode_roots(prompt, output, worker), output - 1, within, problem.workers, slo)


def split_bound_per_s(problem: PoolsProblem, prefill_workers: int) -> float:
    """The same bound for this very split: each pool must do its part of the cheapest requests, and each link too."""
    prompt, output, slo = problem.prompt_tokens, problem.output_tokens, problem.slo
    first, rest = phases(prompt, output, problem.prefill, problem.decode)
    within = reachable(prompt, np.ones_like(output), problem.prefill, slo)
    within &= reachable(prompt, output, problem.decode, Slo(tpot_s=slo.tpot_s))
    roots = decode_roots(prompt, output, problem.decode)
    decode_workers = problem.workers - prefill_workers
    rates = [_bound(first, np.zeros(len(roots)), np.zeros_like(output), within, prefill_workers, slo).rate_per_s]
    rates.append(_bound(rest, roots, output - 1, within, decode_workers, slo).rate_per_s)
    if problem.link is not None:
        wire_s = problem.link.transfer_s(prompt) * (output > 1)
        rates.append(_rate(wire_s, np.zeros(len(roots)), within, prefill_workers, slo))
    return min(rates)


def reachable(prompt: IntArray, output: IntArray, worker: Worker, slo: Slo) -> BoolArray:
    """Which requests meet the SLO when they have a worker to themselves; the others never do."""
    needs, first = work(prompt, output, worker), work(prompt, np.ones_like(output), worker)
    decodes = output - 1
    tpot_s = np.divide(needs.alone_s - first.alone_s, decodes, out=np.full(len(output), np.nan), where=decodes > 0)
    return slo.met_by(first.alone_s * (1 - 1e-12), tpot_s * (1 - 1e-12))


def decode_roots(prompt: IntArray, output: IntArray, worker: Worker) -> FloatArray:
    """At most sum_{j=1..o-1} sqrt(w_j), w_j = min(a + b(s+j), e(s+j)) [sqrt s]: an integral, since w rises in j."""
    time = worker.step_time
    a, b, e = time.per_sequence_s, time.per_kv_token_s, time.per_prefill_token_s
    start = prompt.astype(np.float64)
    end = start + (output - 1)
    # below this context recomputing is cheaper
    crossing = np.clip(a / (e - b), start, end) if e > b else end
    return _root_integral(0.0, e, start, crossing) + _root_integral(a, b, crossing, end)


def _root_integral(a: float, b: float, low: FloatArray, high: FloatArray) -> FloatArray:
    """Integral of sqrt(a + b z) over z from low to high: 2/3 (high - low) (u^2 + u v + v^2) / (u + v).

    u and v are the roots at the two ends. The difference of the antiderivatives, 2 (v^3 - u^3) / (3 b), is the same
    and loses all its digits where b is tiny.
    """
    u, v = np.sqrt(a + b * low), np.sqrt(a + b * high)
    both = u + v
    mean = np.divide(u * u + u * v + v * v, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(2 / 3 * (high - low) * mean)


def _bound(
    needs: Work,
    roots: FloatArray,
    decodes: IntArray,
    within: BoolArray,
    workers: int,
    slo: Slo,
) -> GoodputBound:
    """Smallest bound over a grid of prices; any prices give a valid one."""
    out_of_reach = float(1 - within.mean())
    best = GoodputBound(inf, out_of_reach, (0.0, 0.0, 0.0), 0.0, 0.0)
    slack_s = slo.tpot_s - needs.fixed_s
    tokens = int(decodes.sum())
    typical = float(roots.sum() / tokens) ** 2 if tokens else 0.0
    for resource in range(3):
        for y in SHARES_OF_STEP if isfinite(slack_s) and tokens else (0.0,):
            x = np.zeros(3)
            x[resource] = 1 - y
            centre = y * needs.fixed_s * typical / slack_s**2 if y > 0 and slack_s > 0 else 0.0
            for m in centre * SCALES if centre > 0 else (0.0,):
                extra_s = slo_extra_s(needs, roots, decodes, slo.tpot_s, y, float(m))
                rate = _rate(needs.charge_s(x), extra_s, within, workers, slo)
                if rate < best.rate_per_s:
                    prices = (float(x[0]), float(x[1]), float(x[2]))
                    best = GoodputBound(rate, out_of_reach, prices, y, float(m))
    return best


def slo_extra_s(
    needs: Work, roots: FloatArray, decodes: IntArray, tpot_s: float, step_share: float, price_per_s: float
) -> FloatArray:
    """extra(y, m) of the module's docstring, per request [s of worker time]; 0 at a price of 0."""
    if price_per_s == 0:
        return np.zeros(len(roots))
    spread = 2 * np.sqrt(step_share * needs.fixed_s * price_per_s)
    return np.asarray(spread * roots - price_per_s * (tpot_s - needs.fixed_s) * decodes)


def _rate(charge_s: FloatArray, extra_s: FloatArray, within: BoolArray, workers: int, slo: Slo) -> float:
    """Arrivals per second at which all charges and the least extra of sufficiently many just fit the workers' time."""
    n = len(charge_s)
    needed = slo.attainment * n * (1 - 1e-12)
    if int(within.sum()) < needed:
        return 0.0
    extras = np.sort(extra_s[within])
    shares = np.where(extras < 0, 1.0, np.clip(needed - np.arange(len(extras)), 0.0, 1.0))
    least_s = float(charge_s.sum() + shares @ extras)
    return workers * n / least_s if least_s > 0 else inf
