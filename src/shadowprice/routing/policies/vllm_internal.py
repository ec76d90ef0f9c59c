# mypy: allow-untyped-defs, allow-untyped-calls
"""The data-parallel balancer inside vLLM."""

import numpy as np

from shadowprice.routing.compiled import Compiled, Needs, may_take, njit

PUBLISHED, PUBLISHED_S = 0, 1  # in memory.own: 1 once counts were published, and when
WAITING, RUNNING = 0, 1  # in memory.of_worker: the counts


def vllm_internal(waiting_weight: float = 4.0, refresh_s: float = 0.1) -> Compiled:
    """vLLM's own data-parallel balancer: least 4 * waiting + running, by counts published every 100 ms.

    Between two publications it adds the requests it sent itself to the waiting (DPLBAsyncMPClient, one front end).
    """
    words = "as vLLM's data-parallel balancer does"
    needs = Needs(own=2, of_worker=2)
    return Compiled("vllm_internal", by_published_counts, (waiting_weight, refresh_s), needs, words)


@njit(cache=True)
def by_published_counts(numbers, question, memory, i):
    """Least weight * waiting + running, by counts that are renewed from time to time."""
    waiting_weight, refresh_s = numbers[0], numbers[1]
    workers, own, counts = question.workers, memory.own, memory.of_worker
    if own[PUBLISHED] == 0 or question.now_s - own[PUBLISHED_S] >= refresh_s:
        own[PUBLISHED], own[PUBLISHED_S] = 1, question.now_s
        for g in range(len(workers)):
            counts[g, WAITING] = workers[g].queued
            counts[g, RUNNING] = workers[g].running
    best = -1
    lowest = np.inf
    for g in range(len(workers)):
        score = waiting_weight * counts[g, WAITING] + counts[g, RUNNING]
        if may_take(workers, g, question.may_wait) and score < lowest:
            best, lowest = g, score
    counts[best, WAITING] += 1
    return best
