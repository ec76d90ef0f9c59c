"""Tries to break what dispatch guarantees: LP = kernel = min cut, whole tokens cost less than one, even <= S times."""

import numpy as np
import pytest

from shadowprice.experts import cubes, hypercube, ring, split_over_edges, split_over_replicas
from shadowprice.experts.dispatch import cut_bound, replica_cut_bound
from shadowprice.experts.optimum import dispatch_program
from shadowprice.experts.policies import POLICIES
from shadowprice.optimize import LinearProgram, solve


def edge_program(graph, load, capacity) -> LinearProgram:  # type: ignore[no-untyped-def]
    """LPLB's program: columns f over the edges, then L; rows l - out + in <= L."""
    edges = len(graph)
    index = np.stack([graph.origin, graph.replica], axis=1).ravel()
    return LinearProgram(
        cost=np.append(np.zeros(edges), 1.0),
        upper=np.append(capacity, np.inf),
        row_lower=load,
        row_upper=np.full(graph.gpus, np.inf),
        start=np.append(2 * np.arange(edges + 1), 2 * edges + graph.gpus).astype(np.int64),
        index=np.concatenate([index, np.arange(graph.gpus)]).astype(np.int64),
        value=np.concatenate([np.tile([1.0, -1.0], edges), np.ones(graph.gpus)]),
    )


@pytest.mark.parametrize("name", ["ring8", "cube", "hypercube16", "cubes64"])
def test_linear_program_equals_kernel_equals_cut(name: str) -> None:
    graph = {"ring8": ring(8), "cube": hypercube(3), "hypercube16": hypercube(4), "cubes64": cubes(8)}[name]
    rng = np.random.default_rng(1)
    for _ in range(40 if name != "cubes64" else 8):
        capacity = rng.gamma(0.4, 300, len(graph))
        load = rng.gamma(1.0, 200, graph.gpus)
        np.add.at(load, graph.origin, capacity)
        program = edge_program(graph, load, capacity)
        best = solve(program).value
        split = split_over_edges(graph, load, capacity)
        assert split.largest == pytest.approx(best, rel=1e-9)
        assert split.load.max() == pytest.approx(best, rel=1e-9)
        assert cut_bound(graph, load, capacity, split.cut) == pytest.approx(best, rel=1e-9)


def placements(seeds: int):  # type: ignore[no-untyped-def]
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        gpus, per_gpu = int(rng.integers(2, 9)), int(rng.integers(1, 6))
        slots = gpus * per_gpu
        experts = int(rng.integers(1, slots + 1))
        row = rng.permutation(np.append(np.arange(experts), rng.integers(0, experts, slots - experts)))
        counts = np.floor(rng.pareto(rng.choice([0.8, 3.0]), (2, experts)) * 50)
        yield counts, row, gpus, per_gpu, rng


def test_linear_program_equals_kernel_on_any_replica_sets() -> None:
    for counts, row, gpus, _, _ in placements(120):
        split = split_over_replicas(counts, row, gpus)
        for b in range(2):
            best = solve(dispatch_program(counts[b], row, gpus)).value
            assert split.largest[b] == pytest.approx(best, rel=1e-9, abs=1e-9)
            assert replica_cut_bound(counts[b], row, gpus, split.cut[b]) == pytest.approx(best, rel=1e-9, abs=1e-9)


def test_whole_tokens_cost_less_than_one_token() -> None:
    for counts, row, gpus, _, _ in placements(150):
        fractions = split_over_replicas(counts, row, gpus).largest
        whole = split_over_replicas(counts, row, gpus, integral=True).largest
        assert np.array_equal(whole, np.ceil(fractions - 1e-9))


def test_no_policy_beats_the_cut_and_even_is_within_its_guarantee() -> None:
    for counts, row, gpus, per_gpu, rng in placements(150):
        best = split_over_replicas(counts, row, gpus)
        proved = [replica_cut_bound(counts[b], row, gpus, best.cut[b]) for b in range(2)]
        for name, policy in POLICIES.items():
            load = policy(counts, row, gpus, rng)
            assert load.sum(axis=1) == pytest.approx(counts.sum(axis=1))
            assert np.all(load.max(axis=1) >= np.array(proved) * (1 - 1e-9)), name
        assert np.all(POLICIES["even"](counts, row, gpus, rng).max(axis=1) <= per_gpu * best.largest * (1 + 1e-9))


def test_random_is_even_in_expectation_and_no_better() -> None:
    for counts, row, gpus, _, rng in placements(20):
        even = POLICIES["even"](counts, row, gpus, rng)
        drawn = np.array([POLICIES["random"](counts, row, gpus, rng) for _ in range(200)])
        spread = drawn.std(axis=0) / np.sqrt(200)
        assert np.all(np.abs(drawn.mean(axis=0) - even) <= 6 * spread + 1e-9)
        noise = drawn.max(axis=2).std(axis=0) / np.sqrt(200)
        assert np.all(drawn.max(axis=2).mean(axis=0) >= even.max(axis=1) - 6 * noise - 1e-9)
