"""Bounds of the round model against its exact optimum, on random instances made to break them."""

import itertools
from math import inf

import numpy as np
import pytest
from round_instances import random_instance, random_instances

from shadowprice.scheduling.optimum import (
    earliest_finishes,
    evaluate,
    hindsight_interval,
    integer_optimum,
    lagrangian_bound,
    linear_bound,
    memory_and_lane_rows,
    memory_rows,
    place,
    ranked_starts,
    search,
    surviving_starts,
    useful_starts,
    volume_bound,
)
from shadowprice.scheduling.policies import POLICIES
from shadowprice.scheduling.problem import RoundInstance
from shadowprice.simulate.rounds import simulate


def mc_sf_starts(case: RoundInstance) -> np.ndarray:
    return ranked_starts(case, case.output_tokens)


def exact(case: RoundInstance) -> int:
    answer = integer_optimum(case, mc_sf_starts(case))
    assert answer.status == "optimal" and answer.starts is not None
    assert abs(answer.bound - case.total_latency(answer.starts)) < 1e-6
    return case.total_latency(answer.starts)


def exhaustive(case: RoundInstance) -> int:
    """The optimum by trying every combination of start rounds up to the proved horizon."""
    requests, starts = useful_starts(case, mc_sf_starts(case))
    choices = [starts[requests == i] for i in range(len(case))]
    best = case.total_latency(mc_sf_starts(case))
    for chosen in itertools.product(*choices):
        trial = np.array(chosen)
        if case.total_latency(trial) < best and case.usage(trial).max() <= case.memory_tokens:
            best = case.total_latency(trial)
    return best


def test_integer_program_equals_exhaustive_search() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        case = random_instance(rng, most=3, memory=(4, 11))
        assert exact(case) == exhaustive(case)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_below_the_optimum_and_schedules_above(seed: int) -> None:
    """volume, Lagrangian <= optimum; Lagrangian <= linear relaxation <= optimum <= search <= MC-SF."""
    for case in random_instances(50, seed):
        mc_sf = mc_sf_starts(case)
        rounds = int((mc_sf + case.output_tokens).max())
        best = exact(case)
        assert volume_bound(case) <= best
        for rows in (memory_rows(case), memory_and_lane_rows(case), memory_and_lane_rows(case, 2)):
            solution, proved = linear_bound(case, rows, rounds)
            prices = lagrangian_bound(case, rows, iterations=200)
            assert prices.value <= solution.value + 1e-6
            assert proved.value == pytest.approx(solution.value, rel=1e-6)
            assert prices.bound <= best and proved.bound <= best and solution.value <= best + 1e-6
        found = search(case, np.random.default_rng(seed), moves=300)
        case.require_feasible(found)
        assert best <= case.total_latency(found) <= case.total_latency(mc_sf)


@pytest.mark.parametrize("seed", range(10, 14))
def test_no_policy_beats_the_optimum(seed: int) -> None:
    for case in random_instances(25, seed):
        best = exact(case)
        for name, make in POLICIES.items():
            policy = make(alpha=0.5) if name == "protect_greedy" else make()
            if name == "protect_greedy" and np.any(2 * (case.prompt_tokens + case.output_tokens) > case.memory_tokens):
                continue  # may livelock
            result = simulate(case, policy, np.random.default_rng(seed))
            case.require_feasible(result.start)
            assert best <= result.total_latency, name


@pytest.mark.parametrize("rows_of", [memory_rows, memory_and_lane_rows])
def test_the_best_lagrangian_equals_the_linear_relaxation(rows_of) -> None:  # type: ignore[no-untyped-def]
    for case in random_instances(40, 21):
        rows, mc_sf = rows_of(case), mc_sf_starts(case)
        rounds = int(max((mc_sf + case.output_tokens).max(), case.arrival.max()))
        solution, _ = linear_bound(case, rows, rounds)
        prices = lagrangian_bound(case, rows, iterations=3000)
        assert solution.value * (1 - 0.005) <= prices.value <= solution.value + 1e-6


def test_any_prices_and_any_number_of_rounds_give_a_bound() -> None:
    rng = np.random.default_rng(31)
    for case in random_instances(40, 31):
        best = exact(case)
        for rows in (memory_rows(case), memory_and_lane_rows(case)):
            for scale in (0.0, 0.05, 0.5, 5.0):
                rounds = int(case.arrival.max() + rng.integers(0, 80))
                price = scale * rng.random((len(rows.capacity), rounds + 1))
                price[:, 0] = 0.0
                assert evaluate(case, rows, price).bound <= best


def test_every_schedule_keeps_the_lane_rows() -> None:
    """The rows are implied by memory and integrality: whatever order requests are placed in, they hold."""
    rng = np.random.default_rng(41)
    for case in random_instances(200, 41, most=14, memory=(6, 40)):
        for lanes in (1, 2, 3):
            rows = memory_and_lane_rows(case, lanes)
            starts = place(case, rng.permutation(len(case)))
            case.require_feasible(starts)
            for r in range(1, len(rows.capacity)):
                taken = np.zeros(int((starts + case.output_tokens).max()) + 2, dtype=np.int64)
                for i, k in enumerate(starts):
                    taken[k + 1 : k + rows.length[r, i] + 1] += rows.base[r, i]
                assert taken.max() <= rows.capacity[r]


def test_no_schedule_finishes_j_requests_before_the_volume_bound_says() -> None:
    rng = np.random.default_rng(51)
    for case in random_instances(300, 51, most=14, memory=(6, 40)):
        starts = place(case, rng.permutation(len(case)))
        assert np.all(np.sort(starts + case.output_tokens) >= earliest_finishes(case))


def test_all_at_zero_the_volume_bound_is_the_sum_of_sorted_volumes() -> None:
    for case in random_instances(50, 61, most=20):
        at_zero = RoundInstance(np.zeros_like(case.arrival), case.prompt_tokens, case.output_tokens, case.memory_tokens)
        finishes = np.ceil(np.cumsum(np.sort(at_zero.volume)) / at_zero.memory_tokens)
        assert volume_bound(at_zero) == int(np.maximum(finishes, np.sort(at_zero.output_tokens)).sum())


def test_neither_the_volume_bound_nor_the_linear_relaxation_contains_the_other() -> None:
    """Found by search: one finishes fractions of requests, the other ignores their shape."""
    signs = set()
    for case in random_instances(400, 71, most=7, memory=(4, 22)):
        rounds = int((mc_sf_starts(case) + case.output_tokens).max())
        linear = linear_bound(case, memory_rows(case), max(rounds, int(case.arrival.max())))[0].value
        signs.add(np.sign(round(volume_bound(case) - linear, 6)))
        if signs >= {-1.0, 1.0}:
            return
    raise AssertionError(f"one bound was never below the other: {signs}")


def test_no_better_schedule_starts_outside_the_surviving_columns() -> None:
    for case in random_instances(60, 81):
        answer = integer_optimum(case, mc_sf_starts(case))
        assert answer.starts is not None
        best = case.total_latency(answer.starts)
        prices = lagrangian_bound(case, memory_and_lane_rows(case), iterations=100)
        kept = set(zip(*(column.tolist() for column in surviving_starts(case, prices, best + 1)), strict=True))
        assert all((i, int(k)) in kept for i, k in enumerate(answer.starts))


def test_the_interval_contains_the_optimum_and_the_program_closes_it() -> None:
    for case in random_instances(40, 91):
        best = exact(case)
        rng = np.random.default_rng(0)
        quick = hindsight_interval(case, rng, moves=200, iterations=100)
        assert quick.bound <= best <= quick.value == case.total_latency(quick.starts)
        closed = hindsight_interval(case, rng, moves=200, iterations=100, time_limit_s=inf)
        case.require_feasible(closed.starts)
        assert closed.optimal and closed.bound == best


def test_search_never_returns_a_seed_worse() -> None:
    for case in random_instances(30, 101):
        answer = integer_optimum(case, mc_sf_starts(case))
        assert answer.starts is not None
        found = search(case, np.random.default_rng(0), moves=0, seeds=(answer.starts,))
        assert case.total_latency(found) == case.total_latency(answer.starts)
