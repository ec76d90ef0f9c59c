"""What no placement can beat: a bound at any size, and the exact optimum of tiny instances."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.experts.gemm_time import GemmTime
from shadowprice.experts.loads import ExpertLoads
from shadowprice.experts.place import objective
from shadowprice.experts.problem import Placement
from shadowprice.optimize import LinearProgram, solve


def placement_bound(
    loads: ExpertLoads, gpus: int, slots: int, quantile: float = 0.0, gemm: GemmTime | None = None
) -> FloatArray:
    """Lower bound of each layer's mean (or quantile) over batches of max / mean GPU load, for all placements.

    In units of a batch's mean GPU load, the largest GPU load of batch b is at least (ours)

        1            because some GPU has at least the mean;
        n[b, e] / r  for an expert with r replicas, because one of them gets at least the average of its tokens;
        (m + 1) n_k  with n_k the k-th largest load, k = m G + 1 + R, R = slots - experts, for every m >= 0. At most R
                     experts have more than one replica, so of the k largest at least m G + 1 have exactly one; some GPU
                     holds m + 1 of those (pigeonhole) and computes all their tokens.

    Batch by batch (`batch_bounds`), R further replicas make max over e of n[b, e] / r_e least when each goes to the
    largest n / r: if a choice attains less than the greedy's value v = n[e] / r_e, it gives e more than r_e replicas,
    so gives some other expert f fewer than greedy does; greedy gave f its last replica when f's ratio with one less was
    the largest, hence >= v, and the choice leaves f at that ratio or more. A placement is the same for all batches,
    though, so where an expert is heavier than a GPU's mean the joint program is tighter:

        minimise    mean over b of L_b
        subject to  L_b >= batch bound of b
                    L_b >= n[b, e] (1 - sum_{k=2..K} u[e, k] / (k (k - 1)))      for every b, e
                    sum over e, k of u[e, k] <= R,    0 <= u <= 1

    u[e, k] = 1 iff e has at least k replicas: then the bracket telescopes to 1 / r_e. Every placement gives a feasible
    point, with u whole; the linear program over fractional replicas is the bound. K = min(G, R + 1): more replicas than
    GPUs help nobody. The quantile of the batch bounds bounds the quantile, since the quantile is monotone.

    gemm: of the slowest GPU's seconds over the mean of f(n), f = `GemmTime.of`, instead of tokens. All of the above
    holds with f(n) in place of n and seconds in place of tokens, under every placement and every split: since f is
    subadditive, the parts of an expert take f(n) at least together. So the GPUs take the sum of f(n) at least, and one
    of them the mean; of r replicas one takes f(n) / r at least; a single replica takes f(n). Nothing else was used.
    """
    floors = batch_bounds(loads, gpus, slots, gemm)
    if quantile > 0:
        return np.array([objective(floors[:, layer], quantile) for layer in range(loads.layers)])
    relative = loads.relative(gpus, gemm)
    return np.array([_joint(relative[:, layer], floors[:, layer], gpus, slots) for layer in range(loads.layers)])


def batch_bounds(loads: ExpertLoads, gpus: int, slots: int, gemm: GemmTime | None = None) -> FloatArray:
    """The first three bounds of `placement_bound`, per batch and layer, float64 [batches, layers]; 1 where idle."""
    relative = loads.relative(gpus, gemm)
    spare = slots - loads.experts
    floor = np.ones(relative.shape[:2])
    descending = -np.sort(-relative, axis=2)
    for m in range((loads.experts - 1 - spare) // gpus + 1):
        floor = np.maximum(floor, (m + 1) * descending[:, :, m * gpus + spare])
    flat = relative.reshape(-1, loads.experts)
    flat = flat[flat.max(axis=1) > 1]
    if len(flat):
        copies = np.ones(flat.shape)
        rows = np.arange(len(flat))
        for _ in range(spare):
            copies[rows, np.argmax(flat / copies, axis=1)] += 1
        heavy = relative.max(axis=2) > 1
        floor[heavy] = np.maximum(floor[heavy], (flat / copies).max(axis=1))
    return floor


def _joint(relative: FloatArray, floor: FloatArray, gpus: int, slots: int) -> float:
    """The linear program of `placement_bound` for one layer; columns L_b - floor_b, then u[e, k] of heavy experts."""
    spare = slots - relative.shape[1]
    most = min(gpus, spare + 1)
    rows = np.argwhere(relative > floor[:, None] * (1 + 1e-12))
    if not len(rows) or most < 2:
        # without a replica to give, the batch bounds already hold every n[b, e] / 1 (pigeonhole with m = 0)
        return float(floor.mean())
    batches = len(floor)
    heavy, place = np.unique(rows[:, 1], return_inverse=True)
    gain = 1.0 / (np.arange(2, most + 1) * np.arange(1, most))
    load = relative[rows[:, 0], rows[:, 1]]
    columns = [(np.flatnonzero(rows[:, 0] == b), np.ones(int(np.sum(rows[:, 0] == b)))) for b in range(batches)]
    for e in range(len(heavy)):
        of_e = np.flatnonzero(place == e)
        for k in range(most - 1):
            columns.append((np.append(of_e, len(rows)), np.append(load[of_e] * gain[k], 1.0)))
    extra = len(heavy) * (most - 1)
    program = LinearProgram(
        cost=np.concatenate([np.full(batches, 1.0 / batches), np.zeros(extra)]),
        upper=np.concatenate([np.full(batches, np.inf), np.ones(extra)]),
        row_lower=np.append(load - floor[rows[:, 0]], -np.inf),
        row_upper=np.append(np.full(len(rows), np.inf), float(spare)),
        start=np.concatenate([[0], np.cumsum([len(index) for index, _ in columns])]).astype(np.int64),
        index=np.concatenate([index for index, _ in columns]).astype(np.int64),
        value=np.concatenate([value for _, value in columns]),
    )
    return float(floor.mean()) + max(0.0, _proved(program, solve(program).row_dual, batches))


def _proved(program: LinearProgram, dual: FloatArray, batches: int) -> float:
    """The bound that these multipliers prove, whatever a solver's tolerances: y >= 0 on the rows, mu >= 0 on the last.

    min over x in [0, upper] of  cost x + y (lower - A x) + mu (a x - spare),  with y scaled so that no column without
    an upper limit has a negative reduced cost.
    """
    if len(dual) == 0:
        return 0.0
    y, mu = np.maximum(dual[:-1], 0.0), max(-float(dual[-1]), 0.0)
    column = np.repeat(np.arange(len(program.cost)), np.diff(program.start))
    last = len(dual) - 1
    used = np.where(program.index == last, 0.0, np.append(y, 0.0)[program.index] * program.value)
    priced = np.bincount(column, weights=used, minlength=len(program.cost))
    scale = min(1.0, float(np.min(program.cost[:batches] / np.maximum(priced[:batches], 1e-300))))
    reduced = mu - scale * priced[batches:]
    return float(scale * (y @ program.row_lower[:-1]) - mu * program.row_upper[-1] + np.minimum(reduced, 0.0).sum())


def dispatch_program(counts: FloatArray, placement: IntArray, gpus: int) -> LinearProgram:
    """The dispatch program of one batch as a linear program: columns x[e, g] for each holder, then L; for reference.

    counts [experts]; placement: expert_of_slot of one layer.
    """
    held = Placement(placement[None], gpus, len(counts)).holds()[0]
    expert, gpu = np.nonzero(held)
    n = len(expert)
    experts = len(counts)
    index = np.stack([expert, experts + gpu], axis=1).ravel()
    value = np.tile([1.0, 1.0], n)
    return LinearProgram(
        cost=np.append(np.zeros(n), 1.0),
        upper=np.full(n + 1, np.inf),
        row_lower=np.concatenate([counts, np.full(gpus, -np.inf)]),
        row_upper=np.concatenate([counts, np.zeros(gpus)]),
        start=np.append(2 * np.arange(n + 1), 2 * n + gpus).astype(np.int64),
        index=np.concatenate([index, experts + np.arange(gpus)]).astype(np.int64),
        value=np.concatenate([value, np.full(gpus, -1.0)]),
    )


def exact_placement(counts: IntArray, gpus: int, slots: int) -> IntArray:
    """expert_of_slot [slots] with the least mean over batches of max / mean GPU load in whole tokens; tiny sizes only.

    counts: int64 [batches, experts]. Columns, all whole: z[e, g] = 1 iff g holds e, x[b, e, g] tokens, L[b]:

        minimise    mean over b of L[b] / mean load of b
        subject to  sum_g x[b, e, g] = n[b, e],   x[b, e, g] <= n[b, e] z[e, g],   sum_e x[b, e, g] <= L[b]
                    sum_e z[e, g] <= slots / gpus,   sum_g z[e, g] >= 1
    """
    batches, experts = counts.shape
    pairs, total = experts * gpus, counts.sum(axis=1)
    b, e, g = (axis.ravel() for axis in np.indices((batches, experts, gpus)))
    pair = e * gpus + g
    served, linked, summed = b * experts + e, batches * experts + np.arange(batches * pairs), b * gpus + g
    at_gpu = batches * (experts + pairs)
    full, held = at_gpu + batches * gpus, at_gpu + batches * gpus + gpus
    columns = [
        (np.append(linked[pair == p], [full + p % gpus, held + p // gpus]),
         np.append(-counts[:, p // gpus].astype(np.float64), [1.0, 1.0]))
        for p in range(pairs)
    ]  # fmt: skip
    columns += [(np.array([s, k, at_gpu + m]), np.ones(3)) for s, k, m in zip(served, linked, summed, strict=True)]
    columns += [(at_gpu + i * gpus + np.arange(gpus), np.full(gpus, -1.0)) for i in range(batches)]
    n = counts[b, e].astype(np.float64)
    program = LinearProgram(
        cost=np.concatenate([np.zeros(pairs + len(b)), gpus / np.maximum(total, 1) / batches]),
        upper=np.concatenate([np.ones(pairs), n, total.astype(np.float64)]),
        row_lower=np.concatenate([counts.ravel(), np.full(len(b) + batches * gpus + gpus, -np.inf), np.ones(experts)]),
        row_upper=np.concatenate(
            [counts.ravel(), np.zeros(len(b) + batches * gpus), np.full(gpus, slots / gpus), np.full(experts, np.inf)]
        ),
        start=np.concatenate([[0], np.cumsum([len(index) for index, _ in columns])]).astype(np.int64),
        index=np.concatenate([index for index, _ in columns]).astype(np.int64),
        value=np.concatenate([value for _, value in columns]),
        integer=True,
    )
    held_by = solve(program).x[:pairs].round().reshape(experts, gpus) > 0
    placed = [np.flatnonzero(held_by[:, gpu]) for gpu in range(gpus)]
    # slots that the optimum leaves empty hold anything, a second replica of what is there for instance
    return np.concatenate([np.resize(there if len(there) else [0], slots // gpus) for there in placed]).astype(np.int64)
