# mypy: allow-untyped-defs, allow-untyped-calls
"""The counters of `fairness.py`, compiled: one pass over the tenants and two over the waiting."""

import numpy as np

from shadowprice.kernels import njit

# One row per tenant, by code. lift: of its counter above what it was served. The rest is of the last decision, for
# those that waited then: counter, prompt tokens served and waiting to be, whether some of the waiting were preempted.
TENANT = np.dtype(
    [("lift", np.float64), ("counter", np.float64)]
    + [(name, np.int64) for name in ("waited", "served", "waiting", "preempted", "preempted_now")]
)


@njit(cache=True)
def floor_after(tenants, prompts, floor, last, w_in):
    """The floor, with what was admitted since the last decision; last: the largest start then."""
    least, left, before = np.inf, False, False
    for t in range(len(tenants)):
        row = tenants[t]
        if row.waited:
            before = True
            admitted = prompts[t] - row.served
            if admitted < row.waiting or (row.preempted and row.preempted_now):
                left = True
                least = min(least, row.counter + w_in * admitted)
    if left:
        return max(floor, least)
    return max(floor, last) if before else floor


@njit(cache=True)
def starts(waiting, served, tenants, before, weights, start):
    """Fill `start`: the counter of each request's tenant when its turn comes. Returns the floor and the largest start.

    waiting: columns of tenant, prompt and generated tokens. served: codes, prompt and output tokens of those served, by
    tenant, as are the rows `tenants`. before: floor and largest start of the last decision. weights: w_in, w_out. A
    request whose tenant is not among them leaves all as it was, and a largest start of -1.
    """
    tenant, prompt, generated = waiting
    codes, prompts, outputs = served
    floor, last = before
    w_in, w_out = weights
    place = np.searchsorted(codes, tenant)
    for i in range(len(tenant)):
        if place[i] == len(codes) or codes[place[i]] != tenant[i]:
            return floor, -1.0
    for t in range(len(tenants)):
        tenants[t].preempted_now = 0
    for i in range(len(tenant)):
        if generated[i] > 0:
            tenants[place[i]].preempted_now = 1
    floor = floor_after(tenants, prompts, floor, last, w_in)
    for t in range(len(tenants)):
        tenants[t].waited = 0
    last = 0.0
    for i in range(len(tenant)):
        t = place[i]
        row = tenants[t]
        if not row.waited:
            counted = w_in * prompts[t] + w_out * outputs[t]
            row.counter = max(counted + row.lift, floor)
            row.lift = row.counter - counted
            row.served, row.waiting, row.waited = prompts[t], 0, 1
            row.preempted = row.preempted_now
        start[i] = row.counter + w_in * row.waiting
        last = max(last, start[i])
        if generated[i] == 0:  # the prompt of a preempted one was counted when it was first admitted
            row.waiting += prompt[i]
    return floor, last
