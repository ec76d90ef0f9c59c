"""The bound on waiting of ranked policies as a router's queue sees it: asked through `order`, a request at a time."""

import numpy as np
import pytest

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Requests, TenantService, WorkerState

WORKER = Worker(StepTime(0.01, 0.0, 1e-7, 1e-5))
LONG, SHORT = 1, 2  # tenants
AGED = [
    "shortest_prompt",
    "shortest_output",
    "smallest_volume",
    "mc_sf",
    "priced_work",
    "shortest_remaining_work",
    "vtc",
]
ELSE = ["least_attained", "multi_level_feedback", "least_slack"]  # by progress or deadlines, of which there are none


def waits_of_a_long_one(name: str, max_wait_s: float) -> float:
    """How long a long request of a well served tenant waits while two short ones a second come and one is taken."""
    policy = POLICIES[name](max_wait_s=max_wait_s)
    rows = [(0.0, 5000, 500)]
    for second in range(200):
        rows += [(float(second), 10, 5), (float(second), 10, 5)]
        served = TenantService(np.array([LONG, SHORT]), np.array([10**6, 10 * second]), np.zeros(2, np.int64))
        state = WorkerState(WORKER, second + 0.5, 10**6, served)
        taken = rows.pop(int(policy.order(requests(rows), requests([]), state)[0]))
        if taken[1] == 5000:
            return second + 0.5
    return np.inf


def requests(rows: list[tuple[float, int, int]]) -> Requests:
    arrival, prompt, output = np.array(rows, dtype=float).reshape(-1, 3).T
    zeros = np.zeros(len(rows), np.int64)
    tenant = np.where(prompt == 5000, LONG, SHORT)
    return Requests(arrival, prompt.astype(int), output.astype(int), zeros, zeros, zeros, tenant)


@pytest.mark.parametrize("name", AGED)
def test_a_stream_of_short_requests_cannot_starve_a_long_one(name: str) -> None:
    assert waits_of_a_long_one(name, np.inf) == np.inf
    assert waits_of_a_long_one(name, 30.0) == 30.5  # the first decision at which it has waited longer


@pytest.mark.parametrize("name", ELSE)
def test_without_progress_or_deadlines_nobody_is_passed_over(name: str) -> None:
    assert waits_of_a_long_one(name, np.inf) == 0.5


def test_every_policy_that_can_pass_over_takes_a_bound_on_waiting() -> None:
    bounded = [name for name, make in POLICIES.items() if "max_wait_s" in make.__code__.co_varnames]
    assert sorted(bounded) == sorted(AGED + ELSE)
