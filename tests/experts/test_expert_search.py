"""The search kernels: remembered cuts really are bounds, values are what an independent count gives, budgets hold."""

import numpy as np
import pytest
from experts_twin import even_largest, least_largest_load

from shadowprice.experts import _cuts_kernel as cuts
from shadowprice.experts._even_search_kernel import search_even
from shadowprice.experts._moves_kernel import objective, uniform
from shadowprice.experts._search_kernel import search_dispatched
from shadowprice.experts.dispatch import split_over_replicas
from shadowprice.experts.place import keep_in_place, largest_even

GPUS, PER_GPU, EXPERTS, BATCHES = 4, 3, 9, 3


def instance(seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 100, (BATCHES, EXPERTS)).astype(float)
    slots = rng.permutation(np.append(np.arange(EXPERTS), rng.integers(0, EXPERTS, GPUS * PER_GPU - EXPERTS)))
    return counts, slots, rng


def cut_value(counts: np.ndarray, slots: np.ndarray, cut: np.ndarray) -> float:  # type: ignore[type-arg]
    """n({e: all replicas inside S}) / |S|, expert by expert."""
    inside = [e for e in range(EXPERTS) if all(cut[p // PER_GPU] for p in range(len(slots)) if slots[p] == e)]
    return sum(counts[e] for e in inside) / cut.sum()


@pytest.mark.parametrize("seed", range(40))
def test_cuts_are_revalued_exactly_by_every_move(seed: int) -> None:
    counts, slots, rng = instance(seed)
    gpu_of_slot = np.arange(len(slots)) // PER_GPU
    n = BATCHES * cuts.CUTS
    inside, outside = np.zeros((GPUS, n), np.uint8), np.zeros((EXPERTS, n), np.int16)
    per_gpu, value, change = np.zeros(n), np.zeros(n), np.zeros(n)
    mean, floor = counts.sum(axis=1) / GPUS, np.empty(BATCHES)
    by_expert = counts.T.copy()
    for b in range(BATCHES):
        for _ in range(5):
            cut = (rng.random(GPUS) < 0.6).astype(np.uint8)
            if cut.any():
                cuts.remember(b, cut, by_expert, gpu_of_slot, slots, inside, outside, per_gpu, value)
    shared = (by_expert, mean, inside, outside, per_gpu, value, change, floor)
    for _ in range(30):
        i, j = rng.integers(0, len(slots), 2)
        e, g, f, h = slots[i], gpu_of_slot[i], slots[j], gpu_of_slot[j]
        if e == f or g == h:
            continue
        swap = rng.random() < 0.5
        if not swap and np.sum(slots == e) == 1:
            continue
        (cuts.floors_after_swap(e, g, f, h, *shared) if swap else cuts.floors_after_replacement(e, g, f, *shared))
        cuts.commit(e, g, f, h if swap else -1, inside, outside, change, value)
        slots[i] = f
        if swap:
            slots[j] = e
        for c in range(n):
            if per_gpu[c]:
                assert value[c] == pytest.approx(cut_value(counts[c // cuts.CUTS], slots, inside[:, c]), abs=1e-9)
        exact = split_over_replicas(counts, slots, GPUS).largest
        assert np.all(floor <= exact * (1 + 1e-12))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("quantile", [0.0, 0.7])
def test_searches_return_the_value_of_what_they_return_and_never_a_worse_one(seed: int, quantile: float) -> None:
    counts, slots, _ = instance(seed)
    loads = counts / counts.sum(axis=1, keepdims=True) * GPUS
    had = np.ones((EXPERTS, GPUS), np.uint8)
    shared = (GPUS, np.zeros(GPUS, np.int64), had, 0, quantile)
    found, value = search_dispatched(loads, slots.copy(), *shared, 2000, 200, 0.01, seed)
    holders = [{int(p) // PER_GPU for p in np.flatnonzero(found == e)} for e in range(EXPERTS)]
    twin = [float(least_largest_load(row.astype(int).tolist(), holders, GPUS)) for row in counts]
    assert objective_twin(np.array(twin) / counts.sum(axis=1) * GPUS, quantile) == pytest.approx(value, rel=1e-9)
    assert value <= objective_twin(split_over_replicas(loads, slots, GPUS).largest, quantile) * (1 + 1e-9)
    found, value = search_even(loads, slots.copy(), *shared, 2000, 0.01, seed)
    twin = [even_largest(row.tolist(), found.tolist(), GPUS) for row in loads]
    assert objective_twin(np.array(twin), quantile) == pytest.approx(value, rel=1e-9)
    assert value <= objective_twin(largest_even(loads, slots, GPUS), quantile) * (1 + 1e-9)
    assert set(found) == set(range(EXPERTS))


def objective_twin(values: np.ndarray, quantile: float) -> float:  # type: ignore[type-arg]
    """Mean, or the least value that at least that share of the values does not exceed."""
    if quantile == 0:
        return float(np.mean(values))
    return float(min(v for v in values if np.mean(values <= v) >= quantile - 1e-12))


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_searches_copy_no_more_weights_than_allowed(budget: int) -> None:
    for seed in range(10):
        counts, slots, _ = instance(seed)
        had = np.zeros((EXPERTS, GPUS), np.uint8)
        had[slots, np.arange(len(slots)) // PER_GPU] = 1
        shared = (GPUS, np.zeros(GPUS, np.int64), had, budget, 0.0)
        for found, _ in (
            search_even(counts, slots.copy(), *shared, 2000, 0.01, seed),
            search_dispatched(counts, slots.copy(), *shared, 2000, 200, 0.01, seed),
        ):
            now = np.zeros((EXPERTS, GPUS), bool)
            now[found, np.arange(len(found)) // PER_GPU] = True
            assert np.sum(now & (had == 0)) <= budget


def test_searches_keep_experts_on_their_node() -> None:
    counts, _, _ = instance(3)
    counts = np.column_stack([counts, counts[:, :1]])
    slots = np.array([0, 1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 5])  # 0-4 on the first node, 5-9 on the second
    had = np.ones((10, GPUS), np.uint8)
    shared = (GPUS, np.array([0, 0, 1, 1]), had, 0, 0.0)
    for found, _ in (
        search_even(counts, slots.copy(), *shared, 3000, 0.05, 1),
        search_dispatched(counts, slots.copy(), *shared, 3000, 300, 0.05, 1),
    ):
        assert set(found[:6]) == set(range(5))
        assert set(found[6:]) == set(range(5, 10))


def test_random_numbers_are_splitmix64() -> None:
    """First outputs of splitmix64 from seed 0 (Vigna's reference), their upper 53 bits."""
    state = np.array([0], np.uint64)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [uniform(state) for _ in expected] == [(z >> 11) / 2**53 for z in expected]


def test_quantile_of_batches_is_the_least_value_enough_do_not_exceed() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    for quantile in (0.2, 0.4, 0.5, 0.8, 0.9, 1.0):
        assert objective(values, quantile, np.empty(5)) == objective_twin(values, quantile)


def test_what_a_gpu_already_holds_keeps_its_slot() -> None:
    before = np.array([4, 1, 2, 0, 3, 5])
    after = np.array([2, 0, 4, 5, 1, 3])
    assert keep_in_place(after, before, 2).tolist() == [4, 0, 2, 1, 3, 5]
