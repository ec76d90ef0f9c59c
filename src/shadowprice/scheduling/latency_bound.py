"""What no scheduler can beat: a certified lower bound on mean latency in the engine model, at any size.

Model: `simulate/engine.py`, synchronous or not, W identical workers behind any router; the policy may know everything,
preempt and chunk as it likes. Let p_i be request i's charge at prices x (`fleet/work.py`): a step's length is divided
among its sequences, so the charges of all requests are served by one machine of speed W that never serves request i
before its arrival a_i. Four bounds on sum C_i (C_i the finish) follow.

1. Alone: C_i >= a_i + alone_i.
2. SRPT: on the fast machine with work p_i/W, preemptive shortest-remaining-first minimises the sum of completions,
   and C_i is no earlier than the end of request i's charges.
3. Mixture (ours), which sees queueing and running at once. Let M_i be the mean time at which request i's charges are
   served. After a charge of the step that makes its token j+1, at least half that step (>= c/2) and the steps of all
   later tokens l (>= t_l = c + min(a + b*(s+l), e*(s+l)) each) still follow; weighting by the charges gives
   C_i >= M_i + tail_i. Any convex combination with bound 1 holds too: for every theta in [0, 1]^n

       sum C_i >= sum (1 - theta_i)(a_i + alone_i) + sum theta_i tail_i + min sum theta_i M_i,

   and the last minimum, over all ways to serve the charges on the machine, is attained by always serving the largest
   theta_i/p_i present (an exchange argument: serving a unit of i costs theta_i/p_i * t; Goemans 1996). The right side
   is concave in theta with supergradient M_i + tail_i - a_i - alone_i, so it is maximised by ascent: requests that
   arrive in quiet times lean on bound 1, those in busy times on the queue. Every theta gives a bound.

4. Overhead clock (ours; one worker), which sees that a request waits for the own work of all who are there with it,
   mixed with the queue of bound 3: `overhead_clock.py`.

The largest of the four over a few prices x is printed. Source: 1 and 2 after "Bounds of our own"; 3 and 4 ours.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.token_curve import PLAIN
from shadowprice.fleet.work import Work, work
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling import _latency_kernel as kernel
from shadowprice.scheduling.overhead_clock import overhead_clock_sum

PRICES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0.25, 0.75, 0], [0.75, 0.25, 0]], dtype=np.float64)


@dataclass(frozen=True)
class LatencyBound:
    """A lower bound on mean latency, how it was obtained, and its parts.

    Parameters
    ----------
    mean_s : float
        No policy has a smaller mean latency [s].
    method : str
        Which of the four bounds it is.
    prices : ndarray of float64, shape (3,)
        The shadow prices (slots, memory, token budget) under which the best one holds.
    alone_s : float
        Every request alone on an idle worker [s].
    srpt_s : float
        Shortest remaining priced work first, on one fast machine [s].
    mixture_s : float
        The mixture of queue and run [s].
    clock_s : float
        The mixture of queue and overhead clock [s]; for several workers, where it is not known, `alone_s`.
    """

    mean_s: float
    method: str
    prices: FloatArray
    alone_s: float
    srpt_s: float
    mixture_s: float
    clock_s: float


def latency_bound(
    arrival_s: FloatArray,
    prompt_tokens: IntArray,
    output_tokens: IntArray,
    worker: Worker,
    workers: int = 1,
    ascents: int = 12,
) -> LatencyBound:
    """Bound from below the mean latency of these requests under any policy on so many workers.

    Parameters
    ----------
    arrival_s : ndarray of float64, shape (n,)
        Arrivals [s], not falling.
    prompt_tokens, output_tokens : ndarray of int64, shape (n,)
        Lengths, at least 1.
    worker : Worker
        Step time and limits of each worker.
    workers : int
        How many there are, behind any router.
    ascents : int
        Steps of the mixture's ascent; more are tighter.

    Returns
    -------
    LatencyBound
        The largest of four bounds, and each of them [s].

    Raises
    ------
    ValueError
        For no requests.

    References
    ----------
    Proofs: the module's docstring and docs/scheduling.md. Goemans 1996 for the mean busy time relaxation.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> worker = sp.read_fleet("llama-3.1-8b-h100").worker
    >>> bound = sp.latency_bound(np.zeros(3), np.full(3, 100), np.full(3, 10), worker)
    >>> bound.mean_s == max(bound.alone_s, bound.srpt_s, bound.mixture_s, bound.clock_s)
    True
    """
    if len(arrival_s) == 0:
        raise ValueError("latency_bound of no requests; expected at least one")
    needs = work(prompt_tokens, output_tokens, worker)
    n = len(arrival_s)
    alone_s = float(needs.alone_s.mean())
    srpt_s = np.array([kernel.srpt_latency_sum(arrival_s, needs.charge_s(x) / workers) / n for x in PRICES])
    prices = PRICES[np.argmax(srpt_s)]
    charge_s, tail_s = needs.charge_s(prices), _tails_s(prompt_tokens, output_tokens, worker, needs, prices)
    mixture_s = _mixture_sum(arrival_s, needs, charge_s / workers, tail_s, ascents) / n
    clock_s = overhead_clock_sum(arrival_s, needs, charge_s, tail_s) / n if workers == 1 else alone_s
    parts = {
        "alone": alone_s,
        "SRPT on priced work": float(srpt_s.max()),
        "queue and run mixture": mixture_s,
        "queue and overhead clock": clock_s,
    }
    method = max(parts, key=lambda name: parts[name])
    return LatencyBound(parts[method], method, prices, *parts.values())


def _tails_s(prompt: IntArray, output: IntArray, worker: Worker, needs: Work, prices: FloatArray) -> FloatArray:
    """tail_i of bound 3 at these prices [s]."""
    time = worker.step_time
    limits = np.array([worker.max_num_seqs, worker.kv_blocks, worker.max_num_batched_tokens])
    slot_s, block_s, token_s = time.fixed_s * prices / limits
    return kernel.tails(
        prompt,
        output,
        needs.charge_s(prices),
        time.fixed_s,
        time.per_sequence_s,
        time.per_kv_token_s,
        time.per_prefill_token_s,
        slot_s,
        block_s,
        token_s,
        worker.block_size,
        (worker.is_plain, (worker.kept or PLAIN).numbers, (worker.read or PLAIN).numbers),
    )


def _mixture_sum(arrival_s: FloatArray, needs: Work, charge_s: FloatArray, tail_s: FloatArray, ascents: int) -> float:
    """The largest right side of bound 3 found, less the sum of the arrivals [s]: projected supergradient ascent.

    charge_s: on the fast machine. From theta = 1; all times are counted from the request's arrival, so that late clocks
    do not swallow digits.
    """
    theta = np.ones(len(arrival_s))
    best_s = -np.inf
    for step in range(ascents):
        busy_s = kernel.mean_busy_times(arrival_s, charge_s, theta)
        queue_s = np.where(theta > 0, busy_s + tail_s, needs.alone_s)
        best_s = max(best_s, float(np.sum(theta * queue_s + (1 - theta) * needs.alone_s)))
        gain_s = queue_s - needs.alone_s
        scale_s = float(np.mean(np.abs(gain_s))) or 1.0
        theta = np.clip(theta + gain_s / scale_s / (step + 1), 0.0, 1.0)
    return best_s
