"""The dispatch kernels against their plain-Python twins, and what they refuse."""

from math import ceil

import numpy as np
import pytest
from experts_twin import least_largest_load, least_largest_load_over_edges
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import ExpertError
from shadowprice.experts import (
    RedundancyGraph,
    cubes,
    from_lplb,
    hypercube,
    ring,
    split_over_edges,
    split_over_replicas,
    torus,
)
from shadowprice.experts.dispatch import cut_bound, replica_cut_bound

GRAPHS = {
    "ring": ring(7),
    "cube": hypercube(3),
    "torus": torus(2, 3),
    "none": RedundancyGraph(3, np.zeros(0, np.int64), np.zeros(0, np.int64)),
    "parallel": RedundancyGraph(3, np.array([0, 0, 1]), np.array([1, 1, 0])),
    "one": RedundancyGraph(1, np.zeros(0, np.int64), np.zeros(0, np.int64)),
}


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(GRAPHS)), seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1, 20, 3000]))
def test_edge_kernel_equals_its_twin_and_its_cut_proves_it(name: str, seed: int, spread: int) -> None:
    graph, rng = GRAPHS[name], np.random.default_rng(seed)
    capacity = rng.integers(0, spread + 1, len(graph)).astype(float)
    load = rng.integers(0, spread + 1, graph.gpus).astype(float)
    np.add.at(load, graph.origin, capacity)
    edges = list(zip(graph.origin.tolist(), graph.replica.tolist(), strict=True))
    best = least_largest_load_over_edges(load.astype(int).tolist(), capacity.astype(int).tolist(), edges)
    for integral in (False, True):
        split = split_over_edges(graph, load, capacity, integral)
        after = load.copy()
        np.add.at(after, graph.origin, -split.moved)
        np.add.at(after, graph.replica, split.moved)
        assert np.allclose(after, split.load, rtol=1e-12, atol=1e-9)
        assert np.all(split.moved >= 0) and np.all(split.moved <= capacity)
        if integral:
            assert split.largest == split.load.max() == ceil(best)
            assert np.array_equal(split.moved, np.round(split.moved))
            assert ceil(cut_bound(graph, load, capacity, split.cut) - 1e-9) == split.largest
        else:
            assert split.largest == pytest.approx(float(best), rel=1e-12)
            assert split.load.max() == pytest.approx(float(best), rel=1e-12)
            assert cut_bound(graph, load, capacity, split.cut) == pytest.approx(float(best), rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gpus=st.integers(1, 6), per_gpu=st.integers(1, 4), hot=st.booleans())
def test_replica_kernel_equals_its_twin_and_its_cut_proves_it(seed: int, gpus: int, per_gpu: int, hot: bool) -> None:
    rng = np.random.default_rng(seed)
    slots = gpus * per_gpu
    experts = int(rng.integers(1, slots + 1))
    expert_of_slot = rng.permutation(np.append(np.arange(experts), rng.integers(0, experts, slots - experts)))
    counts = rng.integers(0, 2 + 1000 * hot, (3, experts)).astype(float)
    holders = [{int(p) // per_gpu for p in np.flatnonzero(expert_of_slot == e)} for e in range(experts)]
    for integral in (False, True):
        split = split_over_replicas(counts, expert_of_slot, gpus, integral)
        assert np.allclose(split.tokens.sum(axis=2), counts)
        for b in range(3):
            best = least_largest_load(counts[b].astype(int).tolist(), holders, gpus)
            expected = float(ceil(best)) if integral else float(best)
            assert split.largest[b] == pytest.approx(expected, rel=1e-12)
            assert split.tokens[b].sum(axis=0).max() == pytest.approx(expected, rel=1e-12)
            proved = replica_cut_bound(counts[b], expert_of_slot, gpus, split.cut[b])
            assert (ceil(proved - 1e-9) if integral else proved) == pytest.approx(expected, rel=1e-12)
            for e in range(experts):
                assert set(np.flatnonzero(split.tokens[b, e])) <= holders[e]
        if integral:
            assert np.array_equal(split.tokens, np.round(split.tokens))


def test_two_replicas_are_an_edge() -> None:
    """An expert on GPUs 0 and 1 is the edge 0 -> 1 of LPLB's graph."""
    edges = split_over_edges(RedundancyGraph(2, np.array([0]), np.array([1])), np.array([10.0, 1.0]), np.array([7.0]))
    replicas = split_over_replicas(np.array([[7.0, 3.0, 1.0]]), np.array([0, 1, 0, 2]), 2)
    assert edges.largest == replicas.largest[0] == 5.5
    assert edges.moved[0] == replicas.tokens[0, 0, 1] == 4.5


def test_topologies_have_the_published_sizes() -> None:
    assert (len(hypercube(3)), len(hypercube(4)), len(cubes(8)), cubes(8).gpus) == (24, 64, 256, 64)
    graph = from_lplb(np.array([[1, 3], [2, 0], [3, 1], [0, 2]]))
    assert list(zip(graph.origin, graph.replica, strict=True))[:3] == [(1, 0), (3, 0), (2, 1)]


def test_impossible_input_is_refused_in_words() -> None:
    with pytest.raises(ExpertError, match="joins GPU 1 to itself"):
        RedundancyGraph(2, np.array([1]), np.array([1]))
    with pytest.raises(ExpertError, match="outside 0 to 1"):
        RedundancyGraph(2, np.array([0]), np.array([2]))
    with pytest.raises(ExpertError, match="3 loads and 8 capacities; expected 8 and 8"):
        split_over_edges(ring(8), np.zeros(3), np.zeros(8))
    slots = np.array([0, 1])
    for counts, message in (
        ([[1.0, -1.0]], "finite and >= 0"),
        ([[1.0, np.nan]], "finite and >= 0"),
        ([[1.5, 1.0]], "whole tokens"),
        ([[1.0, 1.0, 1.0]], "must hold each of 3 experts"),
    ):
        with pytest.raises(ExpertError, match=message):
            split_over_replicas(np.array(counts), slots, 2, integral=True)


def test_zero_tokens_are_split_into_zero() -> None:
    assert split_over_replicas(np.zeros((1, 2)), np.array([0, 1, 0, 1]), 2).largest[0] == 0
