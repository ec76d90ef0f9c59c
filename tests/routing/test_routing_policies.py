"""What each routing policy promises, one decision at a time."""

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.routing import POLICIES, Active, Pending, StepProblem, Workers, bf_io, br_0, priced_holes, solve_step
from shadowprice.routing._tables import TREE_TOKENS
from shadowprice.routing.compiled import Compiled
from shadowprice.workload.trace import Ragged


def pending(*prompts: int, **columns: object) -> Pending:
    n = len(prompts)
    known: dict[str, object] = {"session": np.full(n, -1), "may_wait": False} | columns
    return Pending(np.zeros(n), np.array(prompts, np.int64), **known)  # type: ignore[arg-type]


def workers(*kv: int, slots: int = 8, **columns: object) -> Workers:
    """Each runs one request, unless told otherwise."""
    G = len(kv)
    known: dict[str, object] = {
        "running": np.ones(G, np.int64),
        "waiting": np.zeros(G, np.int64),
        "waiting_tokens": np.zeros(G, np.int64),
        "slots": np.full(G, slots),
    }
    return Workers(np.array(kv), **known | columns)  # type: ignore[arg-type]


def test_round_robin_remembers_its_turn_and_skips_full_workers() -> None:
    policy = POLICIES["round_robin"]()
    assert policy.assign(pending(1, 1), workers(0, 0, 0), 0.0).tolist() == [0, 1]
    assert policy.assign(pending(1, 1), workers(0, 0, 0), 0.0).tolist() == [2, 0]
    full = workers(0, 0, 0, slots=2, running=np.array([1, 2, 1]))
    assert policy.assign(pending(1, 1, 1, may_wait=True), full, 0.0).tolist() == [2, 0, -1]


def test_a_session_stays_with_its_worker_and_few_move_when_one_is_added() -> None:
    sessions = np.arange(2000)
    ask = pending(*([1] * 2000), session=sessions)
    eight = POLICIES["consistent_hash"]().assign(ask, workers(*[0] * 8), 0.0)
    again = POLICIES["consistent_hash"]().assign(pending(*([9] * 2000), session=sessions), workers(*[7] * 8), 5.0)
    assert np.array_equal(eight, again)
    nine = POLICIES["consistent_hash"]().assign(ask, workers(*[0] * 9), 0.0)
    assert np.all(nine[nine != eight] == 8)
    assert 0.05 < np.mean(nine != eight) < 0.2
    assert np.bincount(eight).max() < 1.5 * 2000 / 8


def test_a_session_belongs_to_a_worker_wherever_it_stands() -> None:
    keys = np.array([7, 2**62 + 3, 40, 41, -9])
    ask = pending(*([1] * 2000), session=np.arange(2000))
    policy = POLICIES["consistent_hash"]()
    first = keys[policy.assign(ask, workers(*[0] * 5, keys=keys), 0.0)]
    for some in (keys[1:], keys[::-1], np.delete(keys, 2), np.array([5, *keys])):
        now = some[policy.assign(ask, workers(*[0] * len(some), keys=some), 0.0)]
        assert np.all((now == first) | ~np.isin(first, some) | (now == 5))
        assert np.mean(now == first) > 0.7
    memory = policy.decider_of(5, keys)
    assert policy.decider_of(5, keys.copy()) is memory  # the circle is not made anew for every decision


def with_prefix(block: int, tokens: int = 1000) -> Pending:
    """A prompt of one's own, all of it in blocks of 100 tokens."""
    blocks = Ragged.from_lengths(np.arange(10) + 10 * block, [10])
    return pending(tokens, prefix=blocks, prefix_block_tokens=100)


def homes(policy: Compiled, keys: list[int], blocks: list[int]) -> list[int]:
    """The key of the worker to which each of the prompts goes, one after the other."""
    view = workers(*[0] * len(keys), keys=np.array(keys))
    return [keys[int(policy.assign(with_prefix(block), view, 0.0)[0])] for block in blocks]


@pytest.mark.parametrize(
    "policy",
    [POLICIES["cache_aware"](), bf_io(prefill_kv_tokens=50.0), priced_holes(prefill_kv_tokens=50.0)],
    ids=lambda policy: policy.name,
)
def test_prefixes_move_with_their_workers(policy: Compiled) -> None:
    keys = [100 + g for g in range(70)]  # bits of two words
    for g, key in enumerate(keys):
        alone = workers(*[0] * 70, keys=np.array(keys), open=np.arange(70) == g)
        assert keys[int(policy.assign(with_prefix(key), alone, 0.0)[0])] == key
    shuffled = [7, *keys[66:3:-2], 8, *keys[5::2]]
    for some in (keys[1:], keys[::-1], shuffled, [3, *shuffled]):
        stay = [key for key in some if key in keys[4:]]
        assert homes(policy, some, stay) == stay
    with_all = workers(*[0] * 70, keys=np.array(keys))
    policy.assign(with_prefix(0), with_all, 0.0)
    tree = policy.decider_of(70, np.array(keys)).memory.prefixes.tree
    block = policy.decider_of(70, np.array(keys)).block_ids[10 * keys[0]]
    assert not tree[block].any()  # who was gone is forgotten


def test_who_comes_is_given_what_is_new_but_not_for_ever() -> None:
    policy = POLICIES["cache_aware"]()
    blocks = iter(range(1000))

    def one(keys: list[int], tokens: int) -> int:
        view = workers(*[0] * len(keys), keys=np.array(keys))
        return keys[int(policy.assign(with_prefix(next(blocks), tokens), view, 0.0)[0])]

    assert {one([1, 2], 10 * TREE_TOKENS) for _ in range(2)} == {1, 2}
    assert [one([1, 2, 3], TREE_TOKENS // 2 + 1) for _ in range(3)] == [3, 3, 1]


def test_as_many_keys_as_workers() -> None:
    with pytest.raises(PolicyError, match=r"Workers\.keys: 3 keys of 2 workers; expected one of each"):
        POLICIES["cache_aware"]().assign(pending(1), workers(0, 0, keys=np.arange(3)), 0.0)


def test_cache_aware_follows_the_prefix_until_the_load_is_out_of_balance() -> None:
    policy = POLICIES["cache_aware"]()

    def ask(tokens: int, blocks: list[int]) -> Pending:
        return pending(tokens, prefix=Ragged.from_lengths(np.array(blocks), [len(blocks)]), prefix_block_tokens=100)

    first = int(policy.assign(ask(500, [1, 2, 3, 4, 5]), workers(0, 0), 0.0)[0])
    other = int(policy.assign(ask(100, [9]), workers(0, 0), 0.0)[0])
    assert other != first  # no match: the smaller tree
    assert policy.assign(ask(600, [1, 2, 7, 7, 7, 7]), workers(0, 0), 0.0)[0] == first  # 200 of 600 match: > 0.3
    assert policy.assign(ask(700, [1, 2, 8, 8, 8, 8, 8]), workers(0, 0), 0.0)[0] == other  # 200 of 700 do: < 0.3
    crowded = np.where(np.arange(2) == first, 200, 100)
    assert policy.assign(ask(500, [1, 2, 3, 4, 5]), workers(0, 0, running=crowded), 0.0)[0] == other


def test_vllm_internal_sees_counts_as_old_as_100_ms() -> None:
    policy = POLICIES["vllm_internal"]()
    assert policy.assign(pending(1), workers(0, 0, running=np.array([0, 3])), 0.0)[0] == 0
    busy = workers(0, 0, running=np.array([50, 3]))
    assert policy.assign(pending(1), busy, 0.05)[0] == 1  # 4 * the one it sent itself > 3
    assert policy.assign(pending(1), busy, 0.099)[0] == 0  # 4 < 3 + 4: still the old counts
    assert policy.assign(pending(1), busy, 0.1)[0] == 1


def test_br_0_from_the_pool_fills_the_widest_margin_without_overflowing_it() -> None:
    policy = br_0(from_pool=True)
    answer = policy.assign(pending(90, 60, 40, may_wait=True), workers(100, 35, 90, slots=2), 0.0)
    assert answer.tolist() == [0, 1, 2]  # 60 fits the margin of 65; then 40 overflows by least; 90 is left


def test_priced_holes_keep_the_deepest_hole_for_the_next_big_prompt() -> None:
    rng = np.random.default_rng(0)
    prompts = np.where(rng.random(900) < 0.1, 5000, 50)
    view = workers(10_000, 5_000, 9_800)
    greedy = POLICIES["least_kv"]()
    ours = priced_holes(holes=1, tie=0.0)
    for prompt in prompts:
        ours.assign(pending(int(prompt)), workers(10_000, 10_000, 10_000), 0.0)
    assert greedy.assign(pending(50), view, 0.0)[0] == 1
    assert ours.assign(pending(50), view, 0.0)[0] == 2
    assert ours.assign(pending(5000), view, 0.0)[0] == 1


def test_affinity_gives_way_when_balance_costs_more_than_recomputing() -> None:
    def ask(tokens: int) -> Pending:
        return pending(tokens, prefix=Ragged.from_lengths(np.arange(20), [20]), prefix_block_tokens=100)

    policy = priced_holes(prefill_kv_tokens=50.0)
    home = int(policy.assign(ask(2000), workers(5000, 5000), 0.0)[0])
    even = np.array([5000, 5000])
    assert policy.assign(ask(2000), workers(*even), 0.0)[0] == home
    even[home] = 50_000
    assert policy.assign(ask(2000), workers(*even), 0.0)[0] != home


def test_a_faster_worker_is_given_more() -> None:
    fast = workers(0, 0, speed=np.array([1.0, 3.0]), running=np.zeros(2, np.int64), slots=64)
    answer = POLICIES["least_kv"]().assign(pending(*[100] * 40), fast, 0.0)
    assert np.bincount(answer).tolist() == [10, 30]


def test_oracle_window_sees_who_ends() -> None:
    """Worker 1 holds less now, but worker 0's load ends within the window."""
    active = Active(np.array([0, 1]), np.array([1000, 900]), np.array([9, 9]), np.array([11, 500]))
    view = workers(1009, 909, active=active)
    ask = pending(500, predicted_output=np.array([400]))
    assert POLICIES["least_kv"]().assign(ask, view, 0.0)[0] == 1
    assert bf_io(100, 11, forecast="predicted", price=0.0).assign(ask, view, 0.0)[0] == 0


def test_window_without_a_price_matches_the_step_solver() -> None:
    rng = np.random.default_rng(5)
    same = 0
    for _ in range(50):
        load, prompts = rng.integers(500, 900, 5), rng.integers(1, 400, 6)
        answer = bf_io(0, price=0.0, tie=0.0).assign(pending(*prompts), workers(*load), 0.0)
        problem = StepProblem(load[:, None] + 0.0, prompts[:, None] + 0.0, np.full(5, 6), np.ones(1))
        same += problem.imbalance(answer) <= problem.imbalance(solve_step(problem)) + 1e-6
    assert same >= 40


def test_nobody_is_passed_over_more_often_than_the_bound() -> None:
    view = workers(1000, 1000, slots=2)
    answer = priced_holes(most_passes=3).assign(pending(1, 500, may_wait=True, passes=np.array([3, 0])), view, 0.0)
    assert answer[0] >= 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bf_io(forecast="psychic"), "forecast is 'psychic'; expected one of none, learned, predicted"),
        (lambda: bf_io(-1), "horizon is -1"),
        (lambda: priced_holes(0), "holes is 0"),
        (lambda: priced_holes(most_passes=-1), "most_passes is -1"),
        (lambda: POLICIES["consistent_hash"](0), "virtual_nodes is 0"),
    ],
)
def test_impossible_parameters_are_named(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(PolicyError, match=message):
        make()


@pytest.mark.parametrize("name", list(POLICIES))
@pytest.mark.parametrize("may_wait", [False, True])
def test_a_worker_that_is_not_open_gets_nothing_and_the_rest_is_as_without_it(name: str, may_wait: bool) -> None:
    rng = np.random.default_rng(0)
    policy, fewer = POLICIES[name](), POLICIES[name]()
    for turn in range(60):
        kv, running = rng.integers(0, 9000, 5), rng.integers(0, 5, 5)
        shut = rng.integers(0, 5)
        ask = pending(*rng.integers(1, 3000, rng.integers(1, 6)), may_wait=may_wait)
        free = np.arange(5) != shut
        answer = policy.assign(ask, workers(*kv, running=running, open=free), turn / 10)
        assert np.all(answer != shut) and (may_wait or np.all(answer >= 0))
        if name in ("least_kv", "br_0", "bf_io", "priced_holes"):
            without = fewer.assign(ask, workers(*kv[free], running=running[free]), turn / 10)
            assert np.array_equal(np.where(answer > shut, answer - 1, answer), without)
