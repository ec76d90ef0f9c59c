"""The short form of `make attack`: a chunk for each bound, with a floor under its tightness; and the search itself."""

from functools import cache

import pytest

from tests.attack.__main__ import table
from tests.attack.attacks import ATTACKS
from tests.attack.draw import Draw
from tests.attack.search import Attack, Chunk, chunks, search

# mean of bound over value on the chunk below, rounded down: a bound that falls under it has silently weakened
FLOORS = {
    "latency_of_the_optimum": 0.905,
    "latency_of_policies": 0.453,
    "rounds_volume": 0.849,
    "rounds_lagrangian": 0.921,
    "rounds_linear": 0.946,
    "rounds_interval": 0.983,
    "stable_rate": 0.632,  # with admission by headroom among the gates
    "stable_rate_with_cached_prefixes": 0.560,
    "least_workers": 0.503,
    "mixed_kinds": 0.357,
    "alone_in_a_worker": 0.942,
    "worker_hours": 0.623,
    "makespan_of_the_optimum": 0.964,
    "makespan_of_policies": 0.602,
    "barrier_time": 0.572,
    "busy_time": 0.699,
    "idle_share": 0.228,
    "barrier_hindsight": 0.998,
    "barrier_time_of_the_optimum": 0.988,
    "imbalance_of_a_step": 0.961,
    "goodput": 0.457,
    "goodput_of_a_split": 0.678,
    "rate_of_a_split": 0.763,
    "roots_of_decoding": 0.998,
    "placement_of_experts": 0.890,
    "placement_by_seconds": 0.755,
    "placement_of_the_optimum": 0.970,
    "dispatch_over_replicas": 0.995,
    "dispatch_by_tiles": 0.865,
}


@cache
def chunk_of(attack: Attack) -> Chunk:
    return search(attack, seed=0, number=0)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_bound_is_crossed(attack: Attack) -> None:
    found = chunk_of(attack)
    assert not found.crossed, found.instance
    assert found.tried >= 40


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_bound_has_weakened(attack: Attack) -> None:
    assert chunk_of(attack).tight >= FLOORS[attack.__name__]


def test_every_attack_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len({attack.__name__ for attack in ATTACKS}) == len(ATTACKS) == len(FLOORS)
    assert all(attack.__doc__ for attack in ATTACKS)


def sum_of_two(draw: Draw) -> float | None:
    """A claim that is false near one corner only: that two shares never add up to more than 1.85."""
    return 1.85 / (draw.share("first") + draw.share("second"))


def test_climbing_finds_a_corner_that_draws_miss_and_the_same_chunk_finds_the_same() -> None:
    found = search(sum_of_two, seed=0, number=0)
    assert found.crossed and "first=" in found.instance and "second=" in found.instance
    again = search(sum_of_two, seed=0, number=0)
    assert (again.worst, again.instance, again.tried) == (found.worst, found.instance, found.tried)


def test_chunks_go_on_until_the_instances_are_tried_and_the_table_counts_them() -> None:
    attacks = tuple(attack for attack in ATTACKS if attack.__name__ in ("roots_of_decoding", "stable_rate"))
    found: dict[str, list[Chunk]] = {attack.__name__: [] for attack in attacks}
    for chunk in chunks(attacks, 0, minutes=5, instances=300, jobs=2):
        found[chunk.attack].append(chunk)
    assert all(300 <= sum(chunk.tried for chunk in of) < 600 for of in found.values())
    assert all(len({chunk.number for chunk in of}) == len(of) for of in found.values())
    assert table(found).count("\n") == len(attacks)
