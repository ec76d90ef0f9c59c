"""A policy chosen while the run goes on."""

import numpy as np
import pytest

from shadowprice.routing import POLICIES, make
from shadowprice.routing.auto import Auto
from shadowprice.routing.compiled import Compiled
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.barrier_auto import idle_shares, simulate_auto
from shadowprice.simulate.routing_study import SETTING, at_load
from shadowprice.workload import PRESETS, Trace

RANKS = Ranks(workers=8, slots=32)
POLICY_NAMES = ("round_robin", "power_of_two", "least_kv", "bf_io")
CANDIDATES = [policy for policy in map(make, POLICY_NAMES) if isinstance(policy, Compiled)]


@pytest.fixture(scope="module")
def trace() -> Trace:
    made = PRESETS["mooncake-conversation-like"](np.random.default_rng(0), requests=12_000)
    return at_load(made, RANKS.workers, RANKS.slots, SETTING)


def test_while_nothing_changes_the_run_is_the_one_of_the_first_policy(trace: Trace) -> None:
    auto = Auto("bf_io", margin=0.99)
    run = simulate_auto(trace, auto, CANDIDATES, RANKS, kept=2000)
    alone = simulate_barrier(trace, POLICIES["bf_io"](), RANKS)
    assert auto.evaluations > 2 and not auto.changes
    assert run.finish_s.tobytes() == alone.finish_s.tobytes()
    assert (run.idle_s, run.idle_share) == (alone.idle_s, alone.idle_share)


@pytest.mark.parametrize("first", ["round_robin", "power_of_two"])
def test_a_bad_policy_is_left_for_one_that_is_as_good_as_the_best(trace: Trace, first: str) -> None:
    auto = Auto(first)
    run = simulate_auto(trace, auto, CANDIDATES, RANKS, kept=2000)
    alone = {policy.name: simulate_barrier(trace, policy, RANKS).idle_share for policy in CANDIDATES}
    assert auto.changes[0].before == first
    assert alone[auto.active] < 1.1 * min(alone.values()) < alone[first]
    assert run.idle_share < (alone[first] + min(alone.values())) / 2


def test_what_passed_tells_the_policies_apart(trace: Trace) -> None:
    run = simulate_barrier(trace, POLICIES["least_kv"](), RANKS)
    first = trace.take(np.arange(6000))
    shares = idle_shares(first, run.finish_s[:6000], CANDIDATES, RANKS)
    assert shares["bf_io"] < shares["least_kv"] < shares["round_robin"]


def test_nothing_is_said_of_requests_that_all_ran_together() -> None:
    few = Trace(np.linspace(0, 1, 200), np.full(200, 100), np.full(200, 50))
    assert idle_shares(few, simulate_barrier(few, CANDIDATES[0], RANKS).finish_s, CANDIDATES, RANKS) == {}
