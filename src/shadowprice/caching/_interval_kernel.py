# mypy: allow-untyped-defs, allow-untyped-calls
"""Intervals between two uses of an item, and what keeping it over them saves."""

import numpy as np

from shadowprice.kernels import njit


@njit(cache=True)
def reuse_intervals(offsets, chain, parent, size, cost_s):
    """Runs of a chain's items that were last used by the same request: since, until, size, seconds, begins.

    offsets, chain, parent, size, cost_s: as in Accesses. Items go into one run as long as each was last used with its
    parent and costs no less per unit of size. since, until: the requests between which the run may be kept;
    begins: for each position of `chain` the run that begins there, -1 where the item is not used again.
    """
    last_use = np.full(len(parent), -1)
    position = np.empty(len(parent), np.int64)
    begins = np.full(len(chain), -1)
    most = len(chain)
    since, until = np.empty(most, np.int64), np.empty(most, np.int64)
    weight, saves_s = np.empty(most, np.int64), np.empty(most, np.float64)
    runs = 0
    for i in range(len(offsets) - 1):
        run = -1
        for k in range(offsets[i], offsets[i + 1]):
            v = chain[k]
            u = last_use[v]
            last_use[v] = i
            begun = position[v]
            position[v] = k
            if u < 0:
                continue
            up = parent[v]
            if run >= 0 and since[run] == u and cost_s[v] * size[up] >= cost_s[up] * size[v]:
                weight[run] += size[v]
                saves_s[run] += cost_s[v]
                begins[begun] = run
                continue
            run = runs
            runs += 1
            begins[begun] = run
            since[run], until[run] = u, i
            weight[run], saves_s[run] = size[v], cost_s[v]
    return since[:runs], until[:runs], weight[:runs], saves_s[:runs], begins
