"""How long one routing decision takes: `python benchmarks/routing_decision.py` prints the median over many, one core.

Each decision is that of a router at full load: G workers with B running requests each, 64 (or 8) waiting. Promised is
that of bf_io, as a share of the step that it is made for.
"""

import argparse
import statistics
import sys
import time

import msgspec
import numpy as np
from promises import at_most, conclude

from shadowprice.routing import POLICIES, Active, Compiled, Pending, StepProblem, Workers, bf_io, solve_step
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._tables import Question
from shadowprice.simulate.barrier import STEP_TIME

CASES = ((64, 256, 64), (8, 64, 8))  # workers, slots, waiting
TARGET_SHARE = 0.01


def case(workers: int, slots: int, waiting: int) -> tuple[Pending, Workers]:
    """Random requests: prompts of a long-context chat, outputs of some hundred tokens."""
    rng = np.random.default_rng(0)
    running = slots - 1
    owner = np.repeat(np.arange(workers), running)
    prompt = rng.lognormal(8.5, 1.2, len(owner)).astype(np.int64) + 1
    made = rng.integers(0, 600, len(owner))
    kv = np.bincount(owner, prompt + made, minlength=workers)
    new = rng.lognormal(8.5, 1.2, waiting).astype(np.int64) + 1
    counts = np.full(workers, running)
    pending = Pending(np.zeros(waiting), new, np.full(waiting, -1))
    active = Active(owner, prompt, made)
    finished = rng.integers(1, 700, 2000)
    none = np.zeros(workers, np.int64)
    view = Workers(kv, counts, none, none, np.full(workers, slots), active=active, finished_tokens=finished)
    return pending, view


def median_us(decision: object, repeats: int) -> float:
    """Median time of calling it so often [us]."""
    assert callable(decision)
    decision()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        decision()
        seconds.append(time.perf_counter() - started)
    return 1e6 * statistics.median(seconds)


def in_the_kernel(policy: Compiled, pending: Pending, workers: Workers, repeats: int) -> float:
    """Median time of the compiled decision alone, on tables that are kept up to date, as in the simulator [us]."""
    policy.assign(pending, workers, 0.0)
    decider, n = policy.decider_of(len(workers)), len(pending)
    desk = decider.desk
    question = Question(desk.requests, desk.pool, n, desk.workers, desk.slots, 0, 0.0, False, np.zeros(n, np.int64))

    def decision() -> None:
        decider.memory.drawn[0] = 0
        decide(decider.rule, question, decider.memory)

    return median_us(decision, repeats)


def main() -> int:
    """Print the tables; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="decisions of each kind (200)")
    repeats = parser.parse_args().repeats
    targets = []
    policies = {name: make() for name, make in POLICIES.items()}
    policies["bf_io H=20, every step of it"] = bf_io(20, 21)
    policies["bf_io H=20, no price, moves and swaps"] = bf_io(20, 21, price=0.0)
    for workers, slots, waiting in CASES:
        print(f"\nG={workers}, B={slots}, {waiting} waiting: microseconds per decision, median of {repeats}")
        print(f"{'':40}{'kernel':>10}{'assign':>10}")
        for name, policy in policies.items():
            pending, view = case(workers, slots, waiting)
            kernel_us = in_the_kernel(policy, pending, view, repeats)
            once = msgspec.structs.replace(view, finished_tokens=None)

            def assign(policy: Compiled = policy, pending: Pending = pending, once: Workers = once) -> object:
                return policy.assign(pending, once, 0.0)

            assign_us = median_us(assign, repeats)
            print(f"{name:40}{kernel_us:10.1f}{assign_us:10.1f}")
            if name == "bf_io":
                step_us = 1e6 * (STEP_TIME.fixed_s + STEP_TIME.per_kv_token_s * int(view.held_tokens.max()))
                what = f"decision of bf_io, G={workers}, B={slots}, {waiting} waiting, as a share of a step"
                targets.append(at_most(what, assign_us / step_us, TARGET_SHARE))
        rng = np.random.default_rng(1)
        problem = StepProblem(
            rng.uniform(3e5, 4e5, (workers, 21)),
            np.repeat(rng.lognormal(8.5, 1.2, (waiting, 1)), 21, axis=1),
            np.full(workers, 4),
            np.ones(21),
        )
        print(f"{'solve_step, 21 points':40}{median_us(lambda problem=problem: solve_step(problem), repeats):10.1f}")
    print()
    return conclude(targets)


if __name__ == "__main__":
    sys.exit(main())
