"""Policies: what they keep fits and is closed, what they save is what they say, and none beats the bound."""

import numpy as np
import pytest
from trees import alone, best_by_trying, random_tree

from shadowprice.caching import POLICIES, Accesses, Run, hindsight, space_time_bound


def replayed_savings(accesses: Accesses, run: Run, capacity: int) -> np.ndarray:
    """What each request finds in a cache that evicts as the run says; fails where it does not fit or is not closed."""
    kept: set[int] = set()
    saved, first = np.zeros(len(accesses)), 0
    for i in range(len(accesses)):
        for v in accesses.chain[i]:
            if v not in kept:
                break
            saved[i] += accesses.cost_s[v]
        kept |= set(accesses.chain[i].tolist())
        for v in run.evicted[first : run.ends[i]].tolist():
            assert v in kept
            kept.remove(v)
        first = run.ends[i]
        assert sum(accesses.size[v] for v in kept) <= capacity
        assert all(accesses.parent[v] < 0 or accesses.parent[v] in kept for v in kept)
    return saved


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("sized", [False, True])
def test_a_run_is_of_a_closed_set_that_fits(name: str, sized: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        accesses = random_tree(rng, items=30, requests=80, sized=sized)
        capacity = int(rng.integers(3, 25))
        run = POLICIES[name](accesses, capacity, rng)
        np.testing.assert_allclose(run.saved_s, replayed_savings(accesses, run, capacity))


@pytest.mark.parametrize("name", ["s3_fifo", "w_tinylfu"])
def test_queues_with_a_first_part_keep_closed_sets_too(name: str) -> None:
    for seed in range(5):
        accesses = random_tree(np.random.default_rng(seed), items=600, requests=400)
        run = POLICIES[name](accesses, 200, np.random.default_rng(0))
        np.testing.assert_allclose(run.saved_s, replayed_savings(accesses, run, 200))


def test_no_policy_saves_more_than_the_optimum_nor_that_more_than_the_bounds() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        accesses = random_tree(rng, items=int(rng.integers(2, 7)), requests=8, sized=bool(seed % 2))
        capacity = int(rng.integers(1, 7))
        best = best_by_trying(accesses, capacity)
        within = hindsight(accesses, capacity)
        assert within.found_s <= best + 1e-9
        assert best <= within.bound_s + 1e-9
        assert within.bound_s <= space_time_bound(accesses, capacity) + 1e-6
        for name, policy in POLICIES.items():
            assert policy(accesses, capacity, rng).saved_total_s <= best + 1e-9, name


def test_the_flow_bound_is_the_optimum_for_chains_of_one_of_equal_size() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        accesses = alone(np.append(rng.integers(0, 6, 12), 5), rng.integers(1, 9, 6).astype(np.float64))
        capacity = int(rng.integers(1, 4))
        assert hindsight(accesses, capacity).bound_s == pytest.approx(best_by_trying(accesses, capacity), abs=1e-6)


def test_bounds_are_not_needlessly_weak_on_trees() -> None:
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        accesses = random_tree(rng, items=6, requests=9)
        best = best_by_trying(accesses, 3)
        if best > 0:
            ratios.append(hindsight(accesses, 3).bound_s / best)
    assert np.median(ratios) < 1.1


def test_least_expected_cost_keeps_what_is_dear_and_often_asked_for() -> None:
    rng = np.random.default_rng(0)
    items = rng.choice(20, 4000, p=np.arange(20, 0, -1) / 210)
    dear = alone(items, np.where(np.arange(20) % 2, 100.0, 1.0))
    lec, lfu = (POLICIES[name](dear, 8, rng).saved_total_s for name in ("lec", "lfu"))
    assert lec > 1.3 * lfu
