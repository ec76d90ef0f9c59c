"""Least slack first, where it is proved: no other order makes the largest lateness smaller."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Ranked
from shadowprice.simulate import simulate
from shadowprice.workload import Trace

ONE_AT_A_TIME = Worker(StepTime(0.5, 0.1, 0.0, 0.01), max_num_seqs=1)


def lateness(trace: Trace, policy: Ranked) -> float:
    run = simulate(trace, ONE_AT_A_TIME, policy)
    return float(np.max(run.e2e_s - np.where(trace.deadline_s > 0, trace.deadline_s, np.inf)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.1, 60.0)), min_size=1, max_size=5),
    st.integers(1, 40),
    st.integers(1, 20),
)
def test_least_slack_makes_the_largest_lateness_of_equals_as_small_as_can_be(
    deadlines: list[float], prompt: int, output: int
) -> None:
    n = len(deadlines)
    trace = Trace(np.zeros(n), np.full(n, prompt), np.full(n, output), deadline_s=np.array(deadlines))
    best = min(
        lateness(trace, Ranked("this order", lambda requests, worker, order=order: np.array(order, float)))
        for order in permutations(range(n))
    )
    assert lateness(trace, POLICIES["least_slack"]()) == best


def test_least_slack_meets_deadlines_that_first_come_first_served_misses() -> None:
    trace = Trace(np.zeros(3), np.full(3, 10), np.array([40, 2, 2]), deadline_s=np.array([0.0, 5.0, 3.0]))
    met = {
        name: (simulate(trace, ONE_AT_A_TIME, POLICIES[name]()).e2e_s[1:] <= trace.deadline_s[1:]).all()
        for name in ("fcfs", "least_slack")
    }
    assert met == {"fcfs": False, "least_slack": True}
