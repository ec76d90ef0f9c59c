"""The look-ahead rule of the round model: take the head of the queue while it fits until its end, else wait."""

import heapq

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.kernels import njit


@njit(cache=True)
def fits_to_its_end(used: IntArray, prompt: int, output: int, memory: int, start: int) -> bool:
    """Whether a request started now stays within memory over the tokens `used`, in every round of its life."""
    for j in range(output, 0, -1):  # noqa: SIM110 (numba compiles no generators)
        if used[start + j] + prompt + j > memory:
            return False
    return True


@njit(cache=True)
def look_ahead_starts(
    rank: IntArray,
    by_arrival: IntArray,
    arrival: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    max_wait: float,
) -> IntArray:
    """Start rounds, int64 [n], when each round takes the waiting by ascending rank up to the first that does not fit.

    rank: a permutation of 0..n-1; by_arrival: indices by arrival. Once the oldest waiting request has waited longer
    than max_wait rounds it is the head whatever its rank. Terminates: whoever is alone fits.
    """
    n = len(arrival)
    request_of_rank = np.empty(n, dtype=np.int64)
    for i in range(n):
        request_of_rank[rank[i]] = i
    used = np.zeros(arrival.max() + output.sum() + output.max() + 2, dtype=np.int64)
    starts = np.full(n, -1, dtype=np.int64)
    heap = [rank[0] for _ in range(0)]
    came, oldest, left, now = 0, 0, n, 0
    while left > 0:
        while came < n and arrival[by_arrival[came]] <= now:
            heapq.heappush(heap, rank[by_arrival[came]])
            came += 1
        while True:
            while oldest < came and starts[by_arrival[oldest]] >= 0:
                oldest += 1
            while len(heap) > 0 and starts[request_of_rank[heap[0]]] >= 0:
                heapq.heappop(heap)
            if oldest == came:
                break
            head = by_arrival[oldest]
            if now - arrival[head] <= max_wait:
                head = request_of_rank[heap[0]]
            if not fits_to_its_end(used, prompt[head], output[head], memory, now):
                break
            for j in range(1, output[head] + 1):
                used[now + j] += prompt[head] + j
            starts[head] = now
            left -= 1
        now = int(arrival[by_arrival[came]]) if oldest == came and came < n else now + 1
    return starts
