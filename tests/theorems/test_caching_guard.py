"""The guard of `following`: whatever the experts do, the cost stays within the guard's, on sequences that force it."""

import numpy as np
import pytest
from trees import alone, random_tree

from shadowprice.caching import POLICIES, Accesses, Policy, following
from shadowprice.caching._follow_kernel import GUARD
from shadowprice.caching.policies import Run


def cost_s(accesses: Accesses, run: Run) -> float:
    return accesses.recompute_s - run.saved_total_s


def most_s(accesses: Accesses, capacity: int, guard_s: float) -> float:
    """(1 + gamma) guard + 2 D + s, as the docstring states it."""
    content_s = capacity * float((accesses.cost_s / accesses.size).max())
    request_s = max(float(accesses.cost_s[accesses.chain[i]].sum()) for i in range(len(accesses)))
    return (1 + GUARD) * guard_s + 2 * content_s + request_s


def keeps_nothing(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
    """The worst expert: evicts all that a request brought, at its end."""
    chain = accesses.chain
    evicted = np.concatenate([chain[i][::-1] for i in range(len(accesses))])
    return Run(np.zeros(len(accesses)), evicted, chain.offsets[1:].copy())


def held_still(policy: Policy, accesses: Accesses, capacity: int) -> tuple[Policy, float]:
    """The policy with its draws made, so that the guard's cost is that of the very shadow that was followed."""
    run = policy(accesses, capacity, np.random.default_rng(11))
    return (lambda _accesses, _capacity, _rng: run), cost_s(accesses, run)


@pytest.mark.parametrize("expert", [keeps_nothing, POLICIES["lru"], POLICIES["lfu"]])
def test_a_loop_just_too_large_sends_the_cache_to_its_guard(expert: Policy) -> None:
    loop = alone(np.tile(np.arange(21), 400))
    guard, guard_s = held_still(POLICIES["marking"], loop, 20)
    bad_s = cost_s(loop, expert(loop, 20, np.random.default_rng(0)))
    ours_s = cost_s(loop, following(expert, guard=guard)(loop, 20, np.random.default_rng(0)))
    assert ours_s <= most_s(loop, 20, guard_s)
    if bad_s > 2 * guard_s:
        assert ours_s < 0.7 * bad_s


def test_no_sequence_of_random_trees_crosses_the_guarantee() -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        accesses = random_tree(rng, items=int(rng.integers(4, 25)), requests=200, sized=bool(seed % 2))
        capacity = int(rng.integers(3, 15))
        guard, guard_s = held_still(POLICIES["lru" if seed % 3 else "marking"], accesses, capacity)
        for experts in ([keeps_nothing], [POLICIES["lfu"], keeps_nothing, POLICIES["lec"]]):
            ours_s = cost_s(accesses, following(*experts, guard=guard)(accesses, capacity, rng))
            assert ours_s <= most_s(accesses, capacity, guard_s) + 1e-9


def test_the_guard_is_reached_and_left_again() -> None:
    bad, good = np.tile(np.arange(21), 200), np.repeat(np.arange(30), 100)
    accesses = alone(np.concatenate([bad, good, bad]))
    guard, guard_s = held_still(POLICIES["marking"], accesses, 20)
    ours_s = cost_s(accesses, following(POLICIES["lru"], guard=guard)(accesses, 20, np.random.default_rng(0)))
    assert ours_s <= most_s(accesses, 20, guard_s)
