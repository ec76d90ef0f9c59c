"""What no scheduler can beat: a certified lower bound on the makespan, the time until the last request is finished.

Model: `simulate/engine.py`, synchronous or not, W identical workers behind any router; the policy may know everything,
preempt and chunk as it likes. Let p_i(x) be request i's charge at prices x and alone_i its least time
(`fleet/work.py`).

1. Alone: request i finishes no earlier than a_i + alone_i, a_i its arrival.
2. Work: a step's length is at least the sum of what it charges its sequences, and the steps of one worker do not
   overlap. All charges of requests that arrive at t or later fall into steps that end in (t, C], C the makespan: a step
   in which such a request computes began at t or later. So W workers hold at least sum_{a_i >= t} p_i(x) in [t, C]:

       C >= t + sum_{a_i >= t} p_i(x) / W    for every t and every x >= 0 that sums to at most 1.

   The right side is linear in x, so the best x puts all weight on one resource; the best t is an arrival.

The larger of the two is printed. Source: ours, after "Bounds of our own".
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.work import RESOURCES, work
from shadowprice.fleet.worker import Worker


@dataclass(frozen=True)
class MakespanBound:
    """No policy has finished all requests before `seconds`, on the clock of the arrivals; method: why not."""

    seconds: float
    method: str


def makespan_bound(
    arrival_s: FloatArray, prompt_tokens: IntArray, output_tokens: IntArray, worker: Worker, workers: int = 1
) -> MakespanBound:
    """The larger of the two bounds for these requests (arrivals sorted, [s]) on so many workers.

    Raises ValueError for no requests.
    """
    if len(arrival_s) == 0:
        raise ValueError("makespan_bound of no requests; expected at least one")
    needs = work(prompt_tokens, output_tokens, worker)
    alone_s = float((arrival_s + needs.alone_s).max())
    best_s, method = alone_s, "the longest request alone"
    for resource, prices in zip(RESOURCES, np.eye(3), strict=True):
        left_s = np.cumsum(needs.charge_s(prices)[::-1])[::-1]  # of this request and all later ones
        work_s = float((arrival_s + left_s / workers).max())
        if work_s > best_s:
            best_s, method = work_s, f"all work at the price of {resource}"
    return MakespanBound(best_s, method)
