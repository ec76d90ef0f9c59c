"""Attacks on the bounds of routing behind a barrier."""

import itertools

import numpy as np

from shadowprice.fleet import StepTime
from shadowprice.routing import (
    POLICIES,
    StepProblem,
    barrier_time_bound,
    busy_time_bound,
    hindsight_optimum,
    step_optimum,
)
from shadowprice.simulate._barrier_run import BarrierRun
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.workload import Trace
from tests.attack.draw import ROUTING, Draw, arrivals, step_time
from tests.attack.search import Attack


def _run(draw: Draw, *, equal: bool, loads_only: bool = False) -> tuple[Trace, dict[str, object], BarrierRun]:
    """A few requests on a few workers under any policy: the trace, the size, the run."""
    n, workers, slots = draw.whole("requests", 1, 12), draw.whole("workers", 1, 4), draw.whole("slots", 1, 4)
    prompt = draw.wholes("prompt", n, 1, draw.pick("longest prompt", (1, 10, 1000)))
    output = draw.wholes("output", n, 1, draw.pick("longest output", (1, 4, 30)))
    drawn = step_time(draw)
    none = 0.0 if loads_only else drawn.per_sequence_s
    time = StepTime(drawn.fixed_s, none, drawn.per_kv_token_s, 0.0)
    alone_s = float(((time.fixed_s + time.per_sequence_s) * output + time.per_kv_token_s * prompt * output).mean())
    trace = Trace(arrivals(draw, n, alone_s / workers), prompt, output)
    speed = None if equal else np.array([draw.power("speed", -0.5, 0.5) for _ in range(workers)])
    drift = 1.0 if equal else draw.pick("drift", (0.0, 0.5, 1.0, 2.0))
    size = {"workers": workers, "slots": slots, "step_time": time, "drift_tokens": drift, "speed": speed}
    pool = draw.pick("pool", (None, 1, 3, 12))
    saturated = not equal and pool is not None and draw.maybe("saturated", 0.3)
    policy = POLICIES[draw.pick("policy", ROUTING)]()
    ranks = Ranks(**size)  # type: ignore[arg-type]
    return trace, size, simulate_barrier(trace, policy, ranks, pool=pool, saturated=saturated)


def barrier_time(draw: Draw) -> float | None:
    """Seconds of steps of a run, with any arrivals, speeds and drift."""
    trace, size, run = _run(draw, equal=False)
    return run.barrier_s / barrier_time_bound(trace.prompt_tokens, trace.output_tokens, **size)  # type: ignore[arg-type]


def busy_time(draw: Draw) -> float | None:
    """Seconds of steps of a run that idles no worker while a request waits."""
    trace, size, run = _run(draw, equal=True)
    clock_s = 1e-12 * float(trace.arrival_s[-1])
    bound_s = busy_time_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, size["step_time"])  # type: ignore[arg-type]
    return (run.barrier_s + clock_s) / bound_s


def idle_share(draw: Draw) -> float | None:
    """Idle share of the steady part, where the bound says anything."""
    _, _, run = _run(draw, equal=True, loads_only=True)
    return run.idle_share / run.idle_bound if run.idle_bound > 1e-12 else None


def barrier_hindsight(draw: Draw) -> float | None:
    """The least time that any policy takes for a handful of requests, over the proved bound of the program."""
    n, workers, slots = draw.whole("requests", 1, 4), draw.whole("workers", 1, 3), draw.whole("slots", 1, 2)
    prompt, output = draw.wholes("prompt", n, 1, 12), draw.wholes("output", n, 1, 3)
    time = StepTime(draw.power("c", -2, 0.5), draw.power("a", -3, 0), draw.power("b", -3, 0), 0.0)
    size = {"workers": workers, "slots": slots, "step_time": time}
    value_s, bound_s, _ = hindsight_optimum(prompt, output, **size)  # type: ignore[arg-type]
    policies = [POLICIES[name]() for name in ("round_robin", "least_kv", "bf_io", "priced_holes")]
    trace = Trace(np.zeros(n), prompt, output)
    ranks = Ranks(**size)  # type: ignore[arg-type]
    runs = [simulate_barrier(trace, policy, ranks, pool=3, saturated=True) for policy in policies]
    rounding = 1e-6 * value_s  # of the solver
    return (min(value_s, *(run.barrier_s for run in runs)) + rounding) / bound_s


def barrier_time_of_the_optimum(draw: Draw) -> float | None:
    """Every assignment and start of up to three requests, tried one by one."""
    n, workers, slots = draw.whole("requests", 1, 3), draw.whole("workers", 1, 2), draw.whole("slots", 1, 3)
    prompt, output = draw.wholes("prompt", n, 1, 9), draw.wholes("output", n, 1, 3)
    drawn = step_time(draw)
    steps = int(output.sum())
    best_s = np.inf
    places = [list(itertools.product(range(workers), range(steps - o + 1))) for o in output.tolist()]
    for chosen in itertools.product(*places):
        batch, held = np.zeros((steps, workers)), np.zeros((steps, workers))
        for (g, start), s, o in zip(chosen, prompt, output, strict=True):
            batch[start : start + o, g] += 1
            held[start : start + o, g] += s + np.arange(o)
        if batch.max() <= slots:
            step_s = drawn.fixed_s + drawn.per_sequence_s * batch + drawn.per_kv_token_s * held
            best_s = min(best_s, float((step_s.max(axis=1) * batch.any(axis=1)).sum()))
    return best_s / barrier_time_bound(prompt, output, workers=workers, slots=slots, step_time=drawn)


def imbalance_of_a_step(draw: Draw) -> float | None:
    """Every answer to the step program, over the bound that HiGHS proves of it; both above a constant."""
    workers, requests, points = draw.whole("workers", 1, 3), draw.whole("requests", 0, 4), draw.whole("points", 1, 3)
    problem = StepProblem(
        load=draw.wholes("load", workers * points, 0, 60).reshape(workers, points).astype(float),
        added=draw.wholes("added", requests * points, 1, 40).reshape(requests, points).astype(float),
        rooms=draw.wholes("rooms", workers, 0, 3),
        weights=np.array([0.1 + draw.share("weight") for _ in range(points)]),
    )
    best = np.inf
    for answer in itertools.product(range(-1, workers), repeat=requests):
        given = np.array([g for g in answer if g >= 0], np.int64)
        if len(given) == problem.assigned and np.all(np.bincount(given, minlength=workers) <= problem.rooms):
            best = min(best, problem.imbalance(np.array(answer, np.int64)))
    constant = float((problem.load.sum(axis=0) * problem.weights).sum()) + 1.0
    return (best + constant * (1 + 1e-6)) / (step_optimum(problem).bound + constant)


ATTACKS: tuple[Attack, ...] = (
    barrier_time,
    busy_time,
    idle_share,
    barrier_hindsight,
    barrier_time_of_the_optimum,
    imbalance_of_a_step,
)
