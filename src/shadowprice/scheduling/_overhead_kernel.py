# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernel of the overhead clock: for each request the time at which its own work costs least."""

import numpy as np

from shadowprice.kernels import njit

MOST_BINS = 512  # looked at for one request


@njit(cache=True)
def cheapest_times(base_of_s, arrived_s, own_s, alone_s, first, wait_price, base_s, since_s, value, done_s, waits_s):
    """Sum over requests of the least own_s * value[k] + wait_price * max(alone_s, wait until bin k), k from first on.

    Fills done_s [bins] with the own work whose cheapest bin it is, waits_s [n] with that maximum there. Beyond the last
    bin, and beyond MOST_BINS of them, work costs nothing but the wait.
    """
    bins = len(value)
    done_s[:] = 0.0
    total = 0.0
    for i in range(len(own_s)):
        best, wait_s, at = np.inf, 0.0, -1
        for k in range(first[i], first[i] + MOST_BINS + 1):
            later_s = 0.0
            if k > first[i]:  # in the first bin the work may be done at once
                last = min(k, bins - 1)
                later_s = (base_s[last] - base_of_s[i]) + (since_s[last] - arrived_s[i])
            waits = max(alone_s[i], later_s)
            cost = wait_price[i] * waits
            if cost >= best:
                break
            free = k >= bins or k == first[i] + MOST_BINS
            if not free:
                cost += own_s[i] * value[k]
            if cost < best:
                best, wait_s, at = cost, waits, -1 if free else k
            if free:
                break
        total += best
        waits_s[i] = wait_s
        if at >= 0:
            done_s[at] += own_s[i]
    return total
