# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels of the latency bound: one machine that may switch between requests at any moment, in O(n log n)."""

import numpy as np

from shadowprice.fleet._token_curve_kernel import curve
from shadowprice.fleet.worker import ROUNDING
from shadowprice.kernels import njit


@njit(cache=True)
def sift_up(heap, rank, i):
    """Restore the heap (smallest rank on top) after entry i was added."""
    r = heap[i]
    while i > 0 and rank[r] < rank[heap[(i - 1) >> 1]]:
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    heap[i] = r


@njit(cache=True)
def pop_top(heap, rank, size):
    """Remove the top of a heap of `size` entries."""
    last = heap[size - 1]
    size -= 1
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and rank[heap[child + 1]] < rank[heap[child]]:
            child += 1
        if rank[last] <= rank[heap[child]]:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = last


@njit(cache=True)
def srpt_latency_sum(arrival_s, work_s):
    """Sum of latencies [s] of shortest remaining processing time first, optimal with preemption."""
    n = len(arrival_s)
    remaining = work_s.copy()
    heap = np.empty(n, np.int64)
    size = 0
    following = 0
    start_s = 0.0  # of the busy period; the clock runs from there, since a late clock would round short work away
    now = 0.0
    total = 0.0
    while following < n or size > 0:
        if size == 0:
            start_s = arrival_s[following]
            now = 0.0
        while following < n and arrival_s[following] - start_s <= now:
            heap[size] = following
            size += 1
            sift_up(heap, remaining, size - 1)
            following += 1
        top = heap[0]
        end = now + remaining[top]
        if following < n and arrival_s[following] - start_s < end:
            served = min(arrival_s[following] - start_s - now, remaining[top])
            remaining[top] -= served  # the top stays the top: its rank only fell
            now = arrival_s[following] - start_s
        else:
            now = end
            total += end - (arrival_s[top] - start_s)
            pop_top(heap, remaining, size)
            size -= 1
    return total


@njit(cache=True)
def mean_busy_times(arrival_s, work_s, weight):
    """Arrival to mean busy time [s] of each request when the largest weight/work present is always served.

    NaN for weight 0.
    """
    n = len(arrival_s)
    remaining = work_s.copy()
    rank = np.full(n, np.inf)
    moment = np.full(n, np.nan)  # integral over the request's busy time of the time since its arrival
    for i in range(n):
        if weight[i] > 0:
            rank[i] = work_s[i] / weight[i]
            moment[i] = 0.0
    heap = np.empty(n, np.int64)
    size = 0
    following = 0
    start_s = 0.0  # of the busy period; the clock runs from there, since a late clock would round short work away
    now = 0.0
    while True:
        while following < n and (weight[following] <= 0 or (size > 0 and arrival_s[following] - start_s <= now)):
            if weight[following] > 0:
                heap[size] = following
                size += 1
                sift_up(heap, rank, size - 1)
            following += 1
        if size == 0:
            if following == n:
                return moment / work_s
            start_s = arrival_s[following]
            now = 0.0
            heap[0] = following
            size = 1
            following += 1
            continue
        top = heap[0]
        since_arrival = now - (arrival_s[top] - start_s)
        served = remaining[top]
        if following < n and arrival_s[following] - start_s < now + served:
            served = min(arrival_s[following] - start_s - now, served)
            remaining[top] -= served
            now = arrival_s[following] - start_s
        else:
            now += served
            pop_top(heap, rank, size)
            size -= 1
        moment[top] += served * (since_arrival + served / 2)


@njit(cache=True)
def tails(prompt, output, work_s, fixed_s, a, b, e, per_sequence_s, per_block_s, per_token_s, block_size, curves):
    """Least time from the mean of each request's charges to its finish [s]; see `latency_bound`.

    a, b, e: step time; per_sequence_s, per_block_s, per_token_s: what a step charges for a sequence, a block held and
    a token computed, out of its fixed_s. curves: plain, then what is kept and read of a sequence (TokenCurve.numbers).
    """
    plain, kept, read = curves
    tail = np.empty(len(prompt))
    for i in range(len(prompt)):
        later_s = 0.0
        moment = 0.0
        charged_s = 0.0
        for context in range(prompt[i] + output[i] - 1, prompt[i], -1):
            if plain:
                own_s = min(a + b * context, e * context)
                held = float((context + block_size - 1) // block_size)
            else:
                own_s = min(a + b * curve(read, context), e * context)
                held = max(curve(kept, context) / block_size - ROUNDING, 0.0)
            charge_s = own_s + per_sequence_s + per_block_s * held + per_token_s
            moment += charge_s * (fixed_s / 2 + later_s)
            charged_s += charge_s
            later_s += fixed_s + own_s
        moment += (work_s[i] - charged_s) * (fixed_s / 2 + later_s)
        tail[i] = moment / work_s[i]
    return tail
