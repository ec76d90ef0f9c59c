# mypy: allow-untyped-defs, allow-untyped-calls
"""Local search over one layer's placement for the exact dispatched maximum, screened by remembered cuts."""

import numpy as np

from shadowprice.experts._cuts_kernel import CUTS, commit, floors_after_replacement, floors_after_swap, remember
from shadowprice.experts._dispatch_kernel import even_start, replica_graph
from shadowprice.experts._flow_kernel import min_max_flow
from shadowprice.experts._moves_kernel import carry_out, copies_needed, objective, occupancy, propose, uniform
from shadowprice.kernels import njit

TINY = 1e-9
GUIDED = 0.5  # share of moves that a violated cut suggests


@njit(cache=True)
def exact_cost(loads, gpu_of_slot, slots, gpus, quantile, limit, exact, cut, sorted_values):
    """Dispatched maximum of each batch into `exact` [batches], the GPUs that prove it into `cut`; the objective.

    loads [batches, experts]. `exact` comes with lower bounds; as soon as it must pass `limit` the answer is inf, and
    the batches that were not reached keep their bounds (and have an empty cut).
    """
    holder_first, holder, nodes, first, head, back, edge_out = replica_graph(gpu_of_slot, slots, loads.shape[1], gpus)
    load = np.empty(nodes)
    residual = np.empty(len(head))
    scratch = np.empty((4, nodes), np.int64)
    cut[:] = 0
    for b in range(len(loads)):
        even_start(loads[b], holder_first, holder, back, edge_out, False, load, residual)
        value = min_max_flow(
            first, head, back, residual, load, gpus, False, cut[b], scratch[0], scratch[1], scratch[2], scratch[3]
        )
        if value <= exact[b] + TINY:
            cut[b] = 0  # a remembered cut already says so
        else:
            exact[b] = value
            if objective(exact, quantile, sorted_values) > limit:
                return np.inf
    return objective(exact, quantile, sorted_values)


@njit(cache=True)
def _hot_gpus(state, mean, inside, value, hot):
    """The GPUs of a random batch's worst remembered cut; empty for an unguided move."""
    if uniform(state) >= GUIDED:
        return hot[:0]
    b = int(uniform(state) * len(mean))
    worst = b * CUTS
    for c in range(b * CUTS, (b + 1) * CUTS):
        if value[c] > value[worst]:
            worst = c
    if value[worst] <= mean[b] * (1 + TINY):
        return hot[:0]
    hot[:] = inside[:, worst]
    return hot


@njit(cache=True)
def search_dispatched(loads, slots, gpus, node_of_gpu, had, budget, quantile, proposals, evaluations, heat, seed):
    """Best slots found for the mean (or quantile) over batches of the dispatched maximum; returns (slots, its value).

    loads [batches, experts], each batch in units of its mean GPU load. slots [P]: where to start, changed in place.
    Moves: swap two slots, or turn a replica that is not its expert's last into a replica of another expert; both inside
    one node. had [experts, gpus], budget: at most that many weights may be copied to GPUs that did not have them.

    Simulated annealing with a limit drawn before the move is valued: a move whose remembered cuts alone pass the limit
    is refused in a few hundred nanoseconds; only the others get flows, at most `evaluations` of them, and each teaches
    the cuts that the screen lacked.
    """
    batches, experts, n = len(loads), loads.shape[1], len(slots)
    gpu_of_slot = np.arange(n) // (n // gpus)
    by_expert = loads.T.copy()
    state = np.array([seed], np.uint64)
    inside = np.zeros((gpus, batches * CUTS), np.uint8)
    outside = np.zeros((experts, batches * CUTS), np.int16)
    per_gpu, value, change = np.zeros(batches * CUTS), np.zeros(batches * CUTS), np.zeros(batches * CUTS)
    mean = loads.sum(axis=1) / gpus
    floor, exact, sorted_values = mean.copy(), mean.copy(), np.empty(batches)
    cut, hot = np.zeros((batches, gpus), np.uint8), np.zeros(gpus, np.uint8)
    holds, replicas, home = occupancy(slots, gpu_of_slot, node_of_gpu, gpus, experts)
    copies = np.sum((holds > 0) & (had == 0))
    here = exact_cost(loads, gpu_of_slot, slots, gpus, quantile, np.inf, exact, cut, sorted_values)
    best, best_slots, done = here, slots.copy(), 1
    ideal = objective(mean, quantile, sorted_values) * (1 + TINY)
    for turn in range(proposals):
        for b in range(batches):
            if cut[b].any():
                remember(b, cut[b], by_expert, gpu_of_slot, slots, inside, outside, per_gpu, value)
        cut[:] = 0
        if done >= evaluations or best <= ideal:
            break
        hot_gpus = _hot_gpus(state, mean, inside, value, hot)
        i, j, f = propose(state, slots, gpu_of_slot, node_of_gpu, replicas, home, hot_gpus)
        if i < 0:
            continue
        e, g, h = slots[i], gpu_of_slot[i], gpu_of_slot[j] if j >= 0 else -1
        more = copies_needed(e, g, f, h, holds, had)
        if copies + more > budget:
            continue
        if j >= 0:
            floors_after_swap(e, g, f, h, by_expert, mean, inside, outside, per_gpu, value, change, floor)
        else:
            floors_after_replacement(e, g, f, by_expert, mean, inside, outside, per_gpu, value, change, floor)
        cool = 1.0 - max(turn / proposals, done / evaluations)
        limit = here * (1 - TINY - heat * cool * cool * np.log(1.0 - uniform(state)))
        if objective(floor, quantile, sorted_values) > limit:
            continue
        carry_out(i, j, f, slots, gpu_of_slot, holds, replicas)
        exact[:] = floor
        there = exact_cost(loads, gpu_of_slot, slots, gpus, quantile, limit, exact, cut, sorted_values)
        done += 1
        if there <= limit:
            commit(e, g, f, h, inside, outside, change, value)
            here, copies = there, copies + more
            if here < best:
                best = here
                best_slots[:] = slots
        else:
            # the cuts just learnt hold under any placement; they are valued under the one that stays
            carry_out(i, j, e, slots, gpu_of_slot, holds, replicas)
    return best_slots, best
