"""Preemptive shortest remaining processing time first on one machine, in whole numbers."""

import heapq

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.kernels import njit


@njit(cache=True)
def srpt_completions(release: IntArray, work: IntArray) -> IntArray:
    """Completion times, ascending, int64 [n]; release: int64 [n] ascending; work: int64 [n]; one unit per unit time."""
    n = len(release)
    done = np.empty(n, dtype=np.int64)
    heap = [work[0] for _ in range(0)]
    came, finished, now = 0, 0, release[0]
    while finished < n:
        if len(heap) == 0:
            now = max(now, release[came])
        while came < n and release[came] <= now:
            heapq.heappush(heap, work[came])
            came += 1
        left = heap[0]
        if came < n and now + left > release[came]:
            heapq.heapreplace(heap, left - (release[came] - now))
            now = release[came]
        else:
            now += left
            heapq.heappop(heap)
            done[finished] = now
            finished += 1
    return done
