# mypy: allow-untyped-defs, allow-untyped-calls
"""What both local searches share: random numbers, moves, what a move costs in copied weights, the objective."""

import numpy as np

from shadowprice.kernels import njit

TRIES = 8  # to find a slot that a guided move asks for


@njit(cache=True)
def uniform(state):
    """The next number in [0, 1) of the splitmix64 stream in state [1], uint64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return float(z >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def objective(values, quantile, sorted_values):
    """Mean of the batches' values, or (quantile > 0) the least value that at least that share does not exceed."""
    if quantile <= 0.0:
        return values.mean()
    sorted_values[:] = values
    sorted_values.sort()
    return sorted_values[int(np.ceil(quantile * len(values) - 1e-9)) - 1]


@njit(cache=True)
def occupancy(slots, gpu_of_slot, node_of_gpu, gpus, experts):
    """(replicas on each GPU int16 [experts, gpus], replicas [experts], node of the expert's last slot [experts])."""
    holds = np.zeros((experts, gpus), np.int16)
    replicas = np.zeros(experts, np.int64)
    home = np.zeros(experts, np.int64)
    for p in range(len(slots)):
        holds[slots[p], gpu_of_slot[p]] += 1
        replicas[slots[p]] += 1
        home[slots[p]] = node_of_gpu[gpu_of_slot[p]]
    return holds, replicas, home


@njit(cache=True)
def _pair_of_slots(state, slots, gpu_of_slot, replicas, hot):
    """Two random slots to swap, or (slot, -1) for a replica to give up; (-1, -1) for none. Guided where hot has GPUs:
    swaps take one slot from inside and one from outside, what is given up is outside."""
    n = len(slots)
    guided = len(hot) > 0
    i = int(uniform(state) * n)
    if replicas[slots[i]] > 1 and uniform(state) < 0.5:
        for _ in range(TRIES):
            if not guided or not hot[gpu_of_slot[i]]:
                break
            i = int(uniform(state) * n)
        return (i, -1) if replicas[slots[i]] > 1 else (-1, -1)
    j = int(uniform(state) * n)
    for _ in range(TRIES):
        if not guided or hot[gpu_of_slot[i]] != hot[gpu_of_slot[j]]:
            break
        j = int(uniform(state) * n)
    return (i, j)


@njit(cache=True)
def propose(state, slots, gpu_of_slot, node_of_gpu, replicas, home, hot):
    """A random move (slot i, slot j, newcomer f): swap i and j, or (j = -1) give slot i to expert f; i = -1 for none.

    hot [gpus]: 1 on GPUs that are too full, empty where the move should not be guided; what is replicated is then taken
    from there. Experts stay on their node (home).
    """
    i, j = _pair_of_slots(state, slots, gpu_of_slot, replicas, hot)
    if i < 0:
        return -1, -1, -1
    e, g = slots[i], gpu_of_slot[i]
    f = slots[j]
    if j < 0:
        for _ in range(TRIES):
            k = int(uniform(state) * len(slots))
            f = slots[k]
            if f != e and (len(hot) == 0 or hot[gpu_of_slot[k]]):
                break
    elif gpu_of_slot[j] == g or home[e] != node_of_gpu[gpu_of_slot[j]]:
        return -1, -1, -1
    if f == e or home[f] != node_of_gpu[g]:
        return -1, -1, -1
    return i, j, f


@njit(cache=True)
def copies_needed(e, g, f, h, holds, had):
    """Change in the number of weights to copy if e leaves GPU g for f and (h >= 0) f leaves GPU h for e.

    holds [experts, gpus]: replicas now; had: 1 where the weights already are.
    """
    more = int(holds[f, g] == 0 and not had[f, g]) - int(holds[e, g] == 1 and not had[e, g])
    if h >= 0:
        more += int(holds[e, h] == 0 and not had[e, h]) - int(holds[f, h] == 1 and not had[f, h])
    return more


@njit(cache=True)
def carry_out(i, j, f, slots, gpu_of_slot, holds, replicas):
    """Swap slots i and j, or (j < 0) give slot i to expert f; keeps the counts of replicas."""
    e, g = slots[i], gpu_of_slot[i]
    slots[i] = f
    holds[e, g] -= 1
    holds[f, g] += 1
    if j >= 0:
        h = gpu_of_slot[j]
        slots[j] = e
        holds[f, h] -= 1
        holds[e, h] += 1
    else:
        replicas[e] -= 1
        replicas[f] += 1
