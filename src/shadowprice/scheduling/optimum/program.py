"""The hindsight integer program of the round model and its linear relaxation, through HiGHS."""

from dataclasses import dataclass
from math import inf

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.optimize import LinearProgram, LinearSolution, solve
from shadowprice.scheduling.optimum.lagrangian import Prices, evaluate
from shadowprice.scheduling.optimum.rows import Rows, memory_rows
from shadowprice.scheduling.problem import RoundInstance


@dataclass(frozen=True)
class IntegerOptimum:
    """What the integer program gave: status, a proved bound [rounds], and the schedule found (None without one).

    status "infeasible" means that no schedule uses only the columns that were allowed.
    """

    status: str
    bound: float
    starts: IntArray | None


def useful_starts(instance: RoundInstance, schedule: IntArray) -> tuple[IntArray, IntArray]:
    """All columns, requests and start rounds (two int64 [columns]), among which some optimal schedule lies.

    Two proofs that request i starts at h_i at the latest, of which the smaller is used. (1) In an optimal schedule no
    round t after the last arrival is without an active request while some request starts at t or later: all those
    could start one round earlier together, still after their arrivals, without meeting anyone. So the rounds from
    the last arrival to the start of i are covered by other requests: h_i = max(a) + sum_{l != i} o_l. (2) Nobody's
    latency is below its output, so that of i is at most total_latency(schedule) - sum_{l != i} o_l.
    """
    total = int(instance.output_tokens.sum())
    others = total - instance.output_tokens
    by_cover = int(instance.arrival.max(initial=0)) + others
    by_value = instance.arrival + instance.total_latency(schedule) - total
    count = np.minimum(by_cover, by_value) - instance.arrival + 1
    requests = np.repeat(np.arange(len(instance)), count)
    within = np.arange(len(requests)) - np.repeat(np.cumsum(count) - count, count)
    return requests, instance.arrival[requests] + within


def build(
    instance: RoundInstance, rows: Rows, requests: IntArray, starts: IntArray, rounds: int, integer: bool
) -> LinearProgram:
    """The program of `RoundInstance` over the columns (requests[c], starts[c]) and the rows of rounds 1..rounds.

    Rows 0..n-1 say that each request starts once; row n + r * rounds + t - 1 is family r in round t.
    """
    n, columns = len(instance), np.arange(len(requests))
    column = [columns]
    index = [requests]
    value = [np.ones(len(requests))]
    for r in range(len(rows.capacity)):
        count = np.clip(np.minimum(starts + rows.length[r, requests], rounds) - starts, 0, None)
        owner = np.repeat(columns, count)
        age = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + 1
        column.append(owner)
        index.append(n + r * rounds + starts[owner] + age - 1)
        value.append((rows.base[r, requests[owner]] + rows.slope[r] * age).astype(np.float64))
    owner = np.concatenate(column)
    by_column = np.argsort(owner, kind="stable")
    capacity = np.repeat(rows.capacity, rounds).astype(np.float64)
    return LinearProgram(
        cost=(starts + (instance.output_tokens - instance.arrival)[requests]).astype(np.float64),
        upper=np.ones(len(requests)),
        row_lower=np.concatenate([np.ones(n), np.full(len(capacity), -inf)]),
        row_upper=np.concatenate([np.ones(n), capacity]),
        start=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(requests)))]),
        index=np.concatenate(index)[by_column],
        value=np.concatenate(value)[by_column],
        integer=integer,
    )


def linear_bound(
    instance: RoundInstance, rows: Rows, rounds: int, time_limit_s: float = inf
) -> tuple[LinearSolution, Prices]:
    """The linear relaxation over rounds 1..rounds (>= every arrival), and the bound its duals prove.

    A start at `rounds` stands for any later one, as in `evaluate`, so the value is a bound for every `rounds`. The
    solver's value holds to its tolerance; the prices' bound is proved anew in `evaluate`.
    """
    count = rounds - instance.arrival + 1
    requests = np.repeat(np.arange(len(instance)), count)
    starts = instance.arrival[requests] + np.arange(len(requests)) - np.repeat(np.cumsum(count) - count, count)
    solution = solve(build(instance, rows, requests, starts, rounds, integer=False), time_limit_s)
    price = np.zeros((len(rows.capacity), rounds + 1))
    if solution.status == "optimal":
        price[:, 1:] = np.maximum(-solution.row_dual[len(instance) :], 0.0).reshape(len(rows.capacity), rounds)
    return solution, evaluate(instance, rows, price)


def integer_optimum(
    instance: RoundInstance,
    schedule: IntArray,
    time_limit_s: float = inf,
    rows: Rows | None = None,
    columns: tuple[IntArray, IntArray] | None = None,
) -> IntegerOptimum:
    """The hindsight optimum, warm-started by `schedule` (start rounds) where its columns are all allowed.

    rows: the program's own memory rows by default; more rows make it tighter. columns: requests and start rounds that
    may be used; by default all of `useful_starts`, with which the answer is exact when status is "optimal".
    """
    rows = memory_rows(instance) if rows is None else rows
    requests, starts = useful_starts(instance, schedule) if columns is None else columns
    rounds = int((starts + instance.output_tokens[requests]).max(initial=0))
    warm = (starts == schedule[requests]).astype(np.float64)
    complete = int(warm.sum()) == len(instance)
    program = build(instance, rows, requests, starts, rounds, integer=True)
    solution = solve(program, time_limit_s, warm if complete else None)
    found: IntArray | None = None
    if solution.value < inf:
        chosen = solution.x > 0.5
        found = np.zeros(len(instance), dtype=np.int64)
        found[requests[chosen]] = starts[chosen]
        instance.require_feasible(found)
    return IntegerOptimum(solution.status, solution.bound, found)
