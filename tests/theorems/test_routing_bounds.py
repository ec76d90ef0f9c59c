"""Routing bounds against exact optima, and policies against both, on instances made to break them."""

import itertools

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import (
    POLICIES,
    StepProblem,
    barrier_time_bound,
    busy_time_bound,
    hindsight_optimum,
    solve_step,
    step_optimum,
)
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.workload.trace import Trace


def random_step(rng: np.random.Generator) -> StepProblem:
    workers, requests, points = rng.integers(1, 5), rng.integers(0, 7), rng.integers(1, 4)
    return StepProblem(
        load=rng.integers(0, 60, (workers, points)).astype(float),
        added=rng.integers(1, 40, (requests, points)).astype(float),
        rooms=rng.integers(0, 4, workers),
        weights=rng.random(points) if rng.random() < 0.5 else np.ones(points),
    )


def by_enumeration(problem: StepProblem) -> float:
    """The least imbalance, by trying every answer."""
    best = np.inf
    for answer in itertools.product(range(-1, len(problem.rooms)), repeat=len(problem.added)):
        given = np.array([g for g in answer if g >= 0], np.int64)
        fits = np.all(np.bincount(given, minlength=len(problem.rooms)) <= problem.rooms)
        if fits and len(given) == problem.assigned:
            best = min(best, problem.imbalance(np.array(answer, np.int64)))
    return best


def test_step_program_equals_enumeration_and_no_answer_is_below_it() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        problem = random_step(rng)
        if len(problem.added) > 5:
            continue
        exact = step_optimum(problem)
        assert exact.optimal
        assert exact.value == pytest.approx(by_enumeration(problem), abs=1e-6)
        assert exact.bound <= exact.value + 1e-6
        assert problem.imbalance(solve_step(problem)) >= exact.value - 1e-6


def test_fast_step_solver_is_near_the_optimum() -> None:
    rng = np.random.default_rng(2)
    fast, best = 0.0, 0.0
    for _ in range(60):
        problem = StepProblem(
            load=rng.integers(300, 600, (4, 1)) + 0.0,
            added=rng.lognormal(4, 1, (8, 1)).round() + 1,
            rooms=np.full(4, 3),
            weights=np.ones(1),
        )
        fast += problem.imbalance(solve_step(problem))
        best += step_optimum(problem).value
    assert best <= fast <= 1.05 * best


def test_step_problem_refuses_what_cannot_be() -> None:
    good = {"load": np.ones((2, 1)), "added": np.ones((1, 1)), "rooms": np.ones(2, np.int64), "weights": np.ones(1)}
    for field, value in (("load", np.ones((2, 2))), ("rooms", np.ones(3, np.int64)), ("added", -np.ones((1, 1)))):
        with pytest.raises(PolicyError, match="step problem"):
            StepProblem(**good | {field: value})
    with pytest.raises(PolicyError, match="does not fill"):
        StepProblem(**good).imbalance(np.array([-1]))


TIMES = [StepTime(1.0, 0.0, 0.1, 0.0), StepTime(0.2, 0.3, 0.05, 0.0), StepTime(5.0, 0.0, 0.0, 0.0)]


def test_bound_is_below_hindsight_optimum_is_below_every_policy() -> None:
    rng = np.random.default_rng(3)
    closed = 0
    for trial in range(12):
        n, workers, slots = int(rng.integers(1, 6)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
        trace = Trace(np.zeros(n), rng.integers(1, 12, n), rng.integers(1, 5, n))
        time = TIMES[trial % len(TIMES)]
        size = {"workers": workers, "slots": slots, "step_time": time}
        bound = barrier_time_bound(trace.prompt_tokens, trace.output_tokens, **size)
        value, proved, optimal = hindsight_optimum(trace.prompt_tokens, trace.output_tokens, **size)
        assert optimal
        assert bound <= value + 1e-6
        assert proved == pytest.approx(value)
        for make in POLICIES.values():
            run = simulate_barrier(trace, make(), Ranks(**size), pool=3, saturated=True)
            assert value <= run.barrier_s + 1e-6
        closed += value < 1.02 * bound
    assert closed >= 2  # the bound is not idle: sometimes it is the optimum


def by_all_schedules(prompt, output, workers: int, slots: int, time: StepTime) -> float:  # type: ignore[no-untyped-def]
    """The least sum of step times by trying every worker and start step of every request, up to one after another."""
    places = [list(itertools.product(range(workers), range(int(output.sum()) - int(o) + 1))) for o in output]
    best = np.inf
    for chosen in itertools.product(*places):
        batch = np.zeros((int(output.sum()), workers))
        held = np.zeros_like(batch)
        for (g, start), s, o in zip(chosen, prompt, output, strict=True):
            batch[start : start + o, g] += 1
            held[start : start + o, g] += s + np.arange(o)
        if batch.max() <= slots:
            steps = time.fixed_s + time.per_sequence_s * batch + time.per_kv_token_s * held
            best = min(best, float((steps.max(axis=1) * batch.any(axis=1)).sum()))
    return best


def test_hindsight_looks_as_far_as_any_better_schedule_could_reach() -> None:
    """Cheap steps and few slots: schedules of as many steps as tokens are tried one by one."""
    rng = np.random.default_rng(7)
    for _ in range(25):
        n, workers, slots = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
        prompt, output = rng.integers(1, 12, n), rng.integers(1, 4, n)
        time = StepTime(10.0 ** rng.uniform(-3, 0), *(10.0 ** rng.uniform(-2, 0, 2) * (rng.random(2) < 0.7)), 0.0)
        value, proved, optimal = hindsight_optimum(prompt, output, workers=workers, slots=slots, step_time=time)
        assert optimal
        assert value == pytest.approx(by_all_schedules(prompt, output, workers, slots, time), abs=1e-6)
        assert proved <= value + 1e-6


def test_bound_holds_for_every_policy_arrivals_speeds_and_drift() -> None:
    rng = np.random.default_rng(4)
    for trial in range(30):
        n, workers, slots = int(rng.integers(1, 80)), int(rng.integers(1, 6)), int(rng.integers(1, 5))
        gaps = rng.exponential(1.0, n) * rng.choice([0.0, 0.1, 3.0])
        prompt = rng.lognormal(3, 1.5, n).astype(np.int64) + 1
        trace = Trace(np.cumsum(gaps), prompt, rng.integers(1, 30, n))
        speed = rng.uniform(0.5, 2.0, workers) if trial % 2 else None
        size = {"workers": workers, "slots": slots, "step_time": TIMES[trial % 3], "drift_tokens": float(trial % 3)}
        bound = barrier_time_bound(trace.prompt_tokens, trace.output_tokens, **size, speed=speed)
        pool = None if trial % 3 else 4
        for make in POLICIES.values():
            run = simulate_barrier(trace, make(), Ranks(**size, speed=speed), pool=pool)
            assert bound <= run.barrier_s * (1 + 1e-9)
            if run.idle_share == run.idle_share:
                assert 0 <= run.idle_bound <= run.idle_share + 1e-9


def test_steps_take_at_least_as_long_as_some_request_is_there() -> None:
    tight = 0.0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 40))
        arrival = np.sort(rng.uniform(0, rng.choice([0.1, 10.0, 100.0]), n))
        trace = Trace(arrival, rng.integers(1, 5000, n), rng.integers(1, 60, n))
        time = StepTime(0.02, *(10.0 ** rng.uniform(-6, -3, 3) * [1, 1e-2, 1e-2] * (rng.random(3) < 0.7)))
        bound = busy_time_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, time)
        pool = int(rng.choice([2, 64])) if seed % 2 else None
        slots, workers = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        for name, make in POLICIES.items():
            run = simulate_barrier(trace, make(), Ranks(workers=workers, slots=slots, step_time=time), pool=pool)
            assert bound <= run.barrier_s * (1 + 1e-9), (seed, name)
            tight = max(tight, bound / run.barrier_s)
    assert tight > 1 - 1e-9  # met where requests come one by one
    assert busy_time_bound(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), time) == 0


def test_busy_time_of_two_that_meet_and_one_that_comes_later() -> None:
    time = StepTime(1.0, 0.0, 0.0, 0.0)
    arrival, prompt, output = np.array([0.0, 2.0, 10.0]), np.ones(3, np.int64), np.array([3, 4, 1])
    assert busy_time_bound(arrival, prompt, output, time) == 6 + 1
