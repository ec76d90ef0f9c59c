# mypy: allow-untyped-defs, allow-untyped-calls
"""Local search over one layer's placement for engines that split an expert's tokens evenly over its replicas."""

import numpy as np

from shadowprice.experts._moves_kernel import carry_out, copies_needed, objective, occupancy, propose, uniform
from shadowprice.kernels import njit

TINY = 1e-9


@njit(cache=True)
def even_loads(loads, slots, gpu_of_slot, replicas, into):
    """Load of each GPU under the even split, into [batches, gpus]."""
    into[:] = 0.0
    for p in range(len(slots)):
        e, g = slots[p], gpu_of_slot[p]
        for b in range(len(loads)):
            into[b, g] += loads[b, e] / replicas[e]


@njit(cache=True)
def _loads_after_swap(e, g, f, h, loads, replicas, load, after):
    after[:] = load
    for b in range(len(loads)):
        step = loads[b, f] / replicas[f] - loads[b, e] / replicas[e]
        after[b, g] += step
        after[b, h] -= step


@njit(cache=True)
def _loads_after_replacement(e, g, f, loads, replicas, holds, load, after):
    """Both experts' shares change on every GPU that holds them."""
    after[:] = load
    r, s = replicas[e], replicas[f]
    for other in range(holds.shape[1]):
        of_e, of_f = holds[e, other], holds[f, other]
        if of_e == 0 and of_f == 0 and other != g:
            continue
        e_share = (of_e - (other == g)) / (r - 1.0) - of_e / r
        f_share = (of_f + (other == g)) / (s + 1.0) - of_f / s
        for b in range(len(loads)):
            after[b, other] += loads[b, e] * e_share + loads[b, f] * f_share


@njit(cache=True)
def search_even(loads, slots, gpus, node_of_gpu, had, budget, quantile, proposals, heat, seed):
    """Best slots found for the mean (or quantile) over batches of the largest load under the even split; and its value.

    Arguments and moves as `search_dispatched`; every move is valued exactly, by updating the loads it touches.
    """
    batches, experts, n = len(loads), loads.shape[1], len(slots)
    gpu_of_slot = np.arange(n) // (n // gpus)
    state = np.array([seed], np.uint64)
    holds, replicas, home = occupancy(slots, gpu_of_slot, node_of_gpu, gpus, experts)
    copies = np.sum((holds > 0) & (had == 0))
    load, after = np.empty((batches, gpus)), np.empty((batches, gpus))
    worst, sorted_values = np.empty(batches), np.empty(batches)
    even_loads(loads, slots, gpu_of_slot, replicas, load)
    for b in range(batches):
        worst[b] = load[b].max()
    here = objective(worst, quantile, sorted_values)
    best, best_slots = here, slots.copy()
    hot = np.zeros(gpus, np.uint8)
    for turn in range(proposals):
        hottest = np.argmax(load[int(uniform(state) * batches)])
        hot[:] = 0
        hot[hottest] = 1
        guide = hot if uniform(state) < 0.5 else hot[:0]
        i, j, f = propose(state, slots, gpu_of_slot, node_of_gpu, replicas, home, guide)
        if i < 0:
            continue
        e, g, h = slots[i], gpu_of_slot[i], gpu_of_slot[j] if j >= 0 else -1
        more = copies_needed(e, g, f, h, holds, had)
        if copies + more > budget:
            continue
        if j >= 0:
            _loads_after_swap(e, g, f, h, loads, replicas, load, after)
        else:
            _loads_after_replacement(e, g, f, loads, replicas, holds, load, after)
        for b in range(batches):
            worst[b] = after[b].max()
        there = objective(worst, quantile, sorted_values)
        cool = 1.0 - turn / proposals
        if there > here * (1 - TINY - heat * cool * cool * np.log(1.0 - uniform(state))):
            continue
        carry_out(i, j, f, slots, gpu_of_slot, holds, replicas)
        load, after = after, load
        here, copies = there, copies + more
        if here < best:
            best = here
            best_slots[:] = slots
    return best_slots, best
