"""The optimum's parts on cases that can be worked out by hand, and at sizes beyond any linear program."""

from itertools import permutations

import numpy as np
import pytest

from shadowprice.arrays import IntArray
from shadowprice.scheduling.optimum import (
    evaluate,
    hindsight_interval,
    integer_optimum,
    lagrangian_bound,
    memory_and_lane_rows,
    memory_rows,
    place,
    ranked_starts,
    search,
    volume_bound,
)
from shadowprice.scheduling.optimum._place_kernel import earliest_start
from shadowprice.scheduling.optimum._srpt_kernel import srpt_completions
from shadowprice.scheduling.problem import RoundInstance

EMPTY = RoundInstance(*(np.empty(0, dtype=np.int64) for _ in range(3)), 5)


def large_peaks(n: int) -> RoundInstance:
    """n equal requests of peak 10 in a memory of 10: they run one after another."""
    return RoundInstance(np.zeros(n, dtype=np.int64), np.full(n, 1), np.full(n, 9), 10)


def srpt_twin(release: IntArray, work: IntArray) -> list[int]:
    """One unit of time at a time, always the request with the least work left."""
    left, done, now = work.tolist(), [], 0
    while len(done) < len(left):
        present = [i for i in range(len(left)) if release[i] <= now and left[i] > 0]
        now += 1
        if present:
            i = min(present, key=lambda i: left[i])
            left[i] -= 1
            if left[i] == 0:
                done.append(now)
    return done


def earliest_twin(used: IntArray, prompt: int, output: int, memory: int, start: int) -> int:
    for k in range(start, len(used)):
        if all(used[k + j] + prompt + j <= memory for j in range(1, output + 1)):
            return k
    raise AssertionError("does not fit")


def test_srpt_kernel_equals_its_twin() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(1, 12))
        release, work = np.sort(rng.integers(0, 40, n)), rng.integers(1, 15, n)
        assert srpt_completions(release, work).tolist() == srpt_twin(release, work)


def test_earliest_start_equals_its_twin() -> None:
    rng = np.random.default_rng(2)
    for _ in range(500):
        memory = int(rng.integers(5, 30))
        used = np.concatenate([rng.integers(0, memory + 1, 40), np.zeros(40, dtype=np.int64)])
        prompt = int(rng.integers(1, memory))
        output, start = int(rng.integers(1, memory - prompt + 1)), int(rng.integers(0, 20))
        arguments = (used, prompt, output, memory, start)
        assert earliest_start(*arguments) == earliest_twin(*arguments)


def test_cheapest_starts_equal_their_twin() -> None:
    """Every request's cheapest start by adding the prices up round by round."""
    rng = np.random.default_rng(6)
    for _ in range(40):
        n, rounds = int(rng.integers(1, 8)), int(rng.integers(8, 40))
        prompt = rng.integers(1, 5, n)
        case = RoundInstance(rng.integers(0, 8, n), prompt, rng.integers(1, 20 - prompt + 1), 20)
        rows = memory_and_lane_rows(case)
        price = rng.random((len(rows.capacity), rounds + 1))
        prices = evaluate(case, rows, price)
        for i in range(n):
            costs = {
                k: k
                + sum(
                    price[r, k + j] * (rows.base[r, i] + rows.slope[r] * j)
                    for r in range(len(rows.capacity))
                    for j in range(1, rows.length[r, i] + 1)
                    if k + j <= rounds
                )
                for k in range(int(case.arrival[i]), rounds + 1)
            }
            assert prices.costs[i] == pytest.approx(min(costs.values()))
            assert costs[int(prices.starts[i])] == pytest.approx(min(costs.values()))
        paid = float(price[:, 1:].sum(axis=1) @ rows.capacity)
        assert prices.value == pytest.approx(prices.costs.sum() + (case.output_tokens - case.arrival).sum() - paid)


def test_two_requests_that_do_not_fit_together_run_one_after_another() -> None:
    case = large_peaks(2)
    assert ranked_starts(case, case.output_tokens).tolist() == [0, 9]  # the second's first token is held in round 10
    answer = integer_optimum(case, ranked_starts(case, case.output_tokens))
    assert (answer.status, answer.bound) == ("optimal", 27)


def test_lanes_close_the_gap_that_memory_alone_leaves() -> None:
    """Ten requests of peak M: optimum 9 + 18 + ... + 90; the relaxation serves halves of them side by side."""
    case = large_peaks(10)
    starts = place(case, np.arange(10))
    assert case.total_latency(starts) == 495
    assert lagrangian_bound(case, memory_rows(case), starts).bound < 400
    assert lagrangian_bound(case, memory_and_lane_rows(case), starts).bound >= 490
    assert hindsight_interval(case, np.random.default_rng(0), moves=100).bound >= 490


def test_some_optima_need_a_request_held_back_and_the_search_finds_it() -> None:
    """Every order of earliest placements costs 42 rounds or more; starting one request a round late costs 41."""
    prompt, output = np.array([3, 2, 2, 2]), np.array([9, 6, 4, 9])
    case = RoundInstance(np.zeros(4, dtype=np.int64), prompt, output, 15)
    assert min(case.total_latency(place(case, np.array(order))) for order in permutations(range(4))) == 42
    assert case.total_latency(search(case, np.random.default_rng(0), moves=4000)) == 41
    assert integer_optimum(case, ranked_starts(case, output)).bound == pytest.approx(41)


def test_search_repeats_with_its_seed() -> None:
    case = large_peaks(6)
    one, two = (search(case, np.random.default_rng(7), moves=500) for _ in range(2))
    assert one.tolist() == two.tolist()


def test_an_empty_instance_has_optimum_zero() -> None:
    assert volume_bound(EMPTY) == 0
    interval = hindsight_interval(EMPTY, np.random.default_rng(0))
    assert (interval.bound, interval.value, interval.optimal) == (0, 0, True)


def test_the_integer_program_keeps_its_time_limit_and_its_bound() -> None:
    rng = np.random.default_rng(4)
    prompt = rng.integers(1, 6, 25)
    case = RoundInstance(np.zeros(25, dtype=np.int64), prompt, rng.integers(1, 41 - prompt), 40)
    mc_sf = ranked_starts(case, case.output_tokens)
    answer = integer_optimum(case, mc_sf, time_limit_s=0.5)
    assert answer.status == "time_limit"
    assert answer.bound <= case.total_latency(search(case, np.random.default_rng(0), moves=20_000))


def test_prices_of_memory_fall_to_zero_when_the_queue_is_gone() -> None:
    case = large_peaks(5)
    prices = lagrangian_bound(case, memory_rows(case))
    assert prices.price.shape == (1, 46)
    assert prices.price[0, 1:10].mean() > prices.price[0, 36:].mean() >= 0


@pytest.mark.parametrize("spread", [0, 20_000])
def test_bounds_hold_for_large_instances(spread: int) -> None:
    rng = np.random.default_rng(5)
    n = 2000
    arrival = np.sort(rng.integers(0, spread + 1, n))
    case = RoundInstance(arrival, rng.integers(1, 500, n), rng.integers(1, 200, n), 8000)
    mc_sf = ranked_starts(case, case.output_tokens)
    case.require_feasible(mc_sf)
    bounds = volume_bound(case), lagrangian_bound(case, memory_rows(case), mc_sf, iterations=5).bound
    assert case.output_tokens.sum() <= max(bounds) <= case.total_latency(mc_sf)
