"""Exact optima on small instances, the fast solver of one step, and bounds at any size."""

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csc_array

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing._improve_kernel import greedy, improve
from shadowprice.routing.problem import StepProblem

MOST_ROUNDS = 20
INFEASIBLE = 2  # scipy's status


@dataclass(frozen=True)
class StepOptimum:
    """The best answer HiGHS found, its imbalance [KV tokens], a proved lower bound of it, and whether they meet."""

    answer: IntArray
    value: float
    bound: float
    optimal: bool


def solve_step(problem: StepProblem, most_rounds: int = MOST_ROUNDS) -> IntArray:
    """A good answer in microseconds to a millisecond: greedy, then moves, swaps and exchanges."""
    load, rooms = problem.load.copy(), problem.rooms.copy()
    answer = np.empty(len(problem.added), np.int64)
    order = np.argsort(-(problem.added * problem.weights).sum(axis=1), kind="stable")
    greedy(load, problem.added, problem.weights, rooms, order, answer)
    improve(load, problem.added, problem.weights, rooms, answer, most_rounds)
    return answer


def step_optimum(problem: StepProblem, time_limit_s: float = inf) -> StepOptimum:
    """The program of `problem.py` through HiGHS; the fast solver's answer where it finds none better in time."""
    G, points = problem.load.shape
    n = len(problem.added)
    y, one = n * G, np.ones
    of_request, of_worker = np.repeat(np.arange(n), G), np.tile(np.arange(G), n)
    # rows: G * points of the maximum, n of one worker each, G of rooms, one of the count
    ids = np.arange(y)
    maximum = of_worker[:, None] * points + np.arange(points)
    entries = [
        (maximum.ravel(), np.repeat(ids, points), -problem.added[of_request].ravel()),
        (np.arange(G * points), y + np.tile(np.arange(points), G), one(G * points)),
        (G * points + of_request, ids, one(y)),
        (G * points + n + of_worker, ids, one(y)),
        (np.full(y, G * points + n + G), ids, one(y)),
    ]
    lower = np.concatenate([problem.load.ravel(), np.zeros(n + G), [problem.assigned]])
    above = np.concatenate([np.full(G * points, inf), one(n), problem.rooms, [problem.assigned]])
    cost = np.concatenate([np.repeat(-(problem.added @ problem.weights), G), G * problem.weights])
    found = _solve(cost, entries, lower, above, y, time_limit_s)
    constant = float((problem.load.sum(axis=0) * problem.weights).sum())
    answer = solve_step(problem)
    if found.x is not None:
        chosen = np.round(found.x[:y]).reshape(n, G)
        exact = np.where(chosen.any(axis=1), chosen.argmax(axis=1), -1)
        answer = min(answer, exact, key=problem.imbalance)
    bound = 0.0 if found.mip_dual_bound is None else found.mip_dual_bound - constant
    return StepOptimum(answer, problem.imbalance(answer), max(float(bound), 0.0), found.status == 0)


def _solve(
    cost: FloatArray,
    entries: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]],
    lower: FloatArray,
    upper: FloatArray,
    binary: int,
    time_limit_s: float,
    least: FloatArray | float = 0.0,
) -> Any:
    """HiGHS on: minimise cost @ x, lower <= A x <= upper, x >= least; the first `binary` are 0 or 1; A by entries."""
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = csc_array((values, (rows, columns)), shape=(len(lower), len(cost)))
    is_binary = np.arange(len(cost)) < binary
    options = {"mip_rel_gap": 0.0} | ({"time_limit": time_limit_s} if time_limit_s < inf else {})
    return milp(
        cost,
        integrality=is_binary.astype(np.int64),
        bounds=Bounds(least, np.where(is_binary, 1.0, inf)),
        constraints=LinearConstraint(matrix, lower, upper),
        options=options,
    )


def volumes(prompt_tokens: IntArray, output_tokens: IntArray, drift_tokens: float = 1.0) -> FloatArray:
    """KV-token-steps of each request: prompt in its first step, drift_tokens more in each of the output - 1 others."""
    output = output_tokens.astype(np.float64)
    return prompt_tokens * output + drift_tokens * output * (output - 1) / 2


def barrier_time_bound(
    prompt_tokens: IntArray,
    output_tokens: IntArray,
    *,
    workers: int,
    slots: int,
    step_time: StepTime,
    drift_tokens: float = 1.0,
    speed: FloatArray | None = None,
) -> float:
    """Seconds of steps that any routing of these requests takes (the barrier simulator's `barrier_s`). Ours.

    Proof. Let K be the number of steps, B_gk and L_gk requests and KV of worker g in step k, v_g its speed, V = sum
    v_g. The step lasts T_k = max_g (c + a B_gk + b L_gk) / v_g. A maximum is at least any weighted mean; with weights
    v_g / V:  T_k >= (G c + a sum_g B_gk + b sum_g L_gk) / V. Whatever the routing, request i runs o_i steps and holds
    vol_i KV-token-steps over them, so the sums over g and k are sum o_i and sum vol_i. A step makes at most G * slots
    tokens and at most one of any request: K >= max(ceil(sum o_i / (G slots)), max o_i). Together
        sum_k T_k >= (G c K + a sum o_i + b sum vol_i) / V.
    On its own, in each of its steps request i holds its worker for c + a + b (its KV), over the largest speed v:
        sum_k T_k >= c (K - o_i) / v + (c o_i + a o_i + b vol_i) / v.
    The bound is the larger. It holds for every order of service too, and with all requests there from the start or
    not, since steps with nothing to do are not counted.
    """
    if workers < 1 or slots < 1:
        raise PolicyError(f"workers is {workers} and slots is {slots}; expected whole numbers >= 1")
    if len(output_tokens) == 0:
        return 0.0
    v = np.ones(workers) if speed is None else speed
    volume = volumes(prompt_tokens, output_tokens, drift_tokens)
    tokens = float(output_tokens.sum())
    steps = max(-(-int(output_tokens.sum()) // (workers * slots)), int(output_tokens.max()))
    c, a, b = step_time.fixed_s, step_time.per_sequence_s, step_time.per_kv_token_s
    together = (workers * c * steps + a * tokens + b * float(volume.sum())) / float(v.sum())
    alone = (c * steps + float((a * output_tokens + b * volume).max())) / float(v.max())
    return max(together, alone)


def busy_time_bound(
    arrival_s: FloatArray, prompt_tokens: IntArray, output_tokens: IntArray, step_time: StepTime
) -> float:
    """Seconds of steps that these requests (arrivals sorted) take under any routing that never idles all workers
    while a request waits, on any number of workers of speed 1. Ours; it is near where workers run half empty.

    Proof. Request i is there from a_i until its last step ends, which is no sooner than a_i + e_i, e_i = (c + a) o_i +
    b vol_i, since each of its o_i steps lasts at least c + a + b (its KV). At any moment at which a request is there,
    some worker runs or would be idle while it waits: a step is under way. So the steps cover the union of the
    intervals [a_i, a_i + e_i), and take at least as long as it is.
    """
    if len(arrival_s) == 0:
        return 0.0
    volume = volumes(prompt_tokens, output_tokens)
    c, a, b = step_time.fixed_s, step_time.per_sequence_s, step_time.per_kv_token_s
    until_s = np.maximum.accumulate(arrival_s + (c + a) * output_tokens + b * volume)
    covered_s = until_s - np.maximum(arrival_s, np.concatenate([[-inf], until_s[:-1]]))
    return float(covered_s.sum())


def hindsight_optimum(
    prompt_tokens: IntArray,
    output_tokens: IntArray,
    *,
    workers: int,
    slots: int,
    step_time: StepTime,
    time_limit_s: float = inf,
) -> tuple[float, float, bool]:
    """Least total barrier time [s] of a handful of requests, all there at 0: (value found, proved bound, is optimal).

    Program: z_igk in {0, 1}: i starts on g in step k; u_k in {0, 1}: somebody runs in step k; T_k >= c u_k + a B_gk +
    b L_gk; B_gk <= slots u_k; u_k >= u_(k+1); minimise sum T_k over the steps k < H, a request of o_i steps starting
    by step H - o_i.

    How many steps are enough. H_1 = the sum of the ceil(n / (G slots)) largest outputs, in which batch after batch
    ends, is; let V be the value found with it. Somebody runs in every step of a schedule, so it has at most sum o_i
    of them; and one of K steps takes at least c K + (a sum o_i + b sum vol_i) / G (`barrier_time_bound`), so one that
    is better than V has at most K = (V - (a sum o_i + b sum vol_i) / G) / c. Where the smaller of the two is above
    H_1 the program is solved again with it as H, for schedules of more than H_1 steps that take less than V.
    """
    batches = -(-len(prompt_tokens) // (workers * slots))
    first = int(np.sort(output_tokens)[::-1][:batches].sum())
    instance = _Instance(prompt_tokens, output_tokens, workers, slots, step_time)
    solve_within = partial(_least_within, instance, time_limit_s)
    value, bound, optimal = solve_within(first)
    most = _most_steps(prompt_tokens, output_tokens, value, workers, step_time)
    if most <= first:
        return value, bound, optimal
    longer, longer_bound, closed = solve_within(most, first + 1, value)
    return min(value, longer), min(bound, longer_bound), optimal and closed


def _most_steps(prompt: IntArray, output: IntArray, value_s: float, workers: int, step_time: StepTime) -> int:
    """No schedule that takes less than value_s has more steps than this."""
    most = int(output.sum())
    shared_s = step_time.per_sequence_s * most + step_time.per_kv_token_s * float(volumes(prompt, output).sum())
    by_value = (value_s - shared_s / workers) / step_time.fixed_s
    return most if by_value >= most else int(by_value * (1 + 1e-9))


class _Instance(NamedTuple):
    prompt_tokens: IntArray
    output_tokens: IntArray
    workers: int
    slots: int
    step_time: StepTime


def _least_within(
    instance: _Instance, time_limit_s: float, horizon: int, least_steps: int = 0, below_s: float = inf
) -> tuple[float, float, bool]:
    """The program of `hindsight_optimum` over `horizon` steps: (value found, proved bound, is optimal).

    Of schedules with so many steps or more, that take less than below_s; infinite where there is none.
    """
    prompt_tokens, output_tokens, G, slots, step_time = instance
    n = len(prompt_tokens)
    starts = [(i, g, k) for i in range(n) for g in range(G) for k in range(horizon - int(output_tokens[i]) + 1)]
    m = len(starts)  # columns: z, then u_k, then T_k; rows: n starts, then horizon * G times, horizon * G slots, falls
    times, places, falls = n, n + horizon * G, n + 2 * horizon * G
    entries: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]] = []
    for z, (i, g, k) in enumerate(starts):
        j = np.arange(int(output_tokens[i]))
        at, here = (k + j) * G + g, np.full(len(j), z)
        load = step_time.per_sequence_s + step_time.per_kv_token_s * (int(prompt_tokens[i]) + j)
        entries += [(times + at, here, -load), (places + at, here, np.ones(len(j)))]
        entries.append((np.array([i]), here[:1], np.ones(1)))
    cell, step = np.arange(horizon * G), np.repeat(np.arange(horizon), G)
    entries += [
        (times + cell, m + step, np.full(horizon * G, -step_time.fixed_s)),
        (times + cell, m + horizon + step, np.ones(horizon * G)),
        (places + cell, m + step, np.full(horizon * G, -float(slots))),
        (falls + np.arange(horizon - 1), m + np.arange(horizon - 1), np.ones(horizon - 1)),
        (falls + np.arange(horizon - 1), m + 1 + np.arange(horizon - 1), -np.ones(horizon - 1)),
    ]
    entries.append((np.full(horizon, falls + horizon - 1), m + horizon + np.arange(horizon), np.ones(horizon)))
    free = np.full(horizon * G, inf)
    lower = np.concatenate([np.ones(n), np.zeros(horizon * G), -free, np.zeros(horizon - 1), [0.0]])
    upper = np.concatenate([np.ones(n), free, np.zeros(horizon * G), np.full(horizon - 1, inf), [below_s]])
    cost = np.concatenate([np.zeros(m + horizon), np.ones(horizon)])
    least = np.zeros(m + 2 * horizon)
    least[m : m + least_steps] = 1.0
    found = _solve(cost, entries, lower, upper, m + horizon, time_limit_s, least)
    if found.status == INFEASIBLE:
        return inf, inf, True
    value = inf if found.fun is None else float(found.fun)
    bound = 0.0 if found.mip_dual_bound is None else float(found.mip_dual_bound)
    return value, bound, found.status == 0
