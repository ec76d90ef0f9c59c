"""The split on tensors gives the compiled kernel's numbers: on the CPU, in Triton's interpreter, and on a GPU.

TRITON_INTERPRET=1 runs the GPU's kernel on the CPU; `test_dispatch_torch_engines` sets it.
"""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import ExpertError
from shadowprice.experts import RedundancyGraph, cubes, hypercube, ring, split_over_edges, torus

torch = pytest.importorskip("torch", reason="torch is optional and not installed here")
from shadowprice.experts import dispatch_torch  # noqa: E402
from shadowprice.experts.dispatch_torch import TensorSplit, split_over_edges_torch  # noqa: E402

GPU = torch.cuda.is_available()
HOW = ["cpu", *(["interpreted"] if os.environ.get("TRITON_INTERPRET") else []), *(["cuda"] if GPU else [])]
PARALLEL = RedundancyGraph(3, np.array([0, 0, 1]), np.array([1, 1, 0]))
NO_EDGES = RedundancyGraph(4, np.array([], np.int64), np.array([], np.int64))
GRAPHS = [ring(8), hypercube(3), hypercube(4), torus(3, 4), cubes(8), PARALLEL, NO_EDGES]


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def loads_of(graph: RedundancyGraph, layers: int, seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    capacity = np.floor(rng.gamma(0.4, 100, (layers, len(graph))))
    load = np.floor(rng.gamma(1.0, 100, (layers, graph.gpus)))
    for layer in range(layers):
        np.add.at(load[layer], graph.origin, capacity[layer])
    return load, capacity


def split_on(how: str, graph: RedundancyGraph, load, capacity, dtype=torch.float64) -> TensorSplit:  # type: ignore[no-untyped-def]
    """The split, its tensors on the CPU."""
    device = "cuda" if how == "cuda" else "cpu"
    given = (torch.tensor(rows, dtype=dtype, device=device) for rows in (load, capacity))
    split = (dispatch_torch._on_gpu if how == "interpreted" else split_over_edges_torch)(graph, *given)
    return TensorSplit(*(getattr(split, name).cpu() for name in ("moved", "load", "largest", "bound")))


def is_best(graph: RedundancyGraph, split: TensorSplit, load, capacity) -> None:  # type: ignore[no-untyped-def]
    """It is a split, its load is what it says, and nothing is better."""
    best = [split_over_edges(graph, *rows).largest for rows in zip(load, capacity, strict=True)]
    assert split.largest.numpy() == pytest.approx(best, rel=1e-9)
    assert split.bound.numpy() == pytest.approx(best, rel=1e-9)
    moved = split.moved.numpy()
    assert np.all(moved >= -1e-9) and np.all(moved <= capacity + 1e-9)
    after = load.copy()
    for layer in range(len(load)):
        np.add.at(after[layer], graph.origin, -moved[layer])
        np.add.at(after[layer], graph.replica, moved[layer])
    assert split.load.numpy() == pytest.approx(after, abs=1e-6)
    assert split.largest.numpy() == pytest.approx(after.max(axis=1), abs=1e-6)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph.gpus}x{len(graph)}")
@pytest.mark.parametrize("seed", range(2))
def test_same_optimum_as_the_kernel_and_a_split_that_attains_it(graph: RedundancyGraph, seed: int, how: str) -> None:
    load, capacity = loads_of(graph, 12, seed)
    is_best(graph, split_on(how, graph, load, capacity), load, capacity)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
def test_counts_of_any_kind(dtype, how: str) -> None:  # type: ignore[no-untyped-def]
    graph = hypercube(3)
    load, capacity = loads_of(graph, 12, 4)
    is_best(graph, split_on(how, graph, load, capacity, dtype), load, capacity)


@settings(max_examples=25, deadline=None)
@given(gpus=st.integers(2, 7), edges=st.integers(0, 14), seed=st.integers(0, 2**32 - 1), empty=st.booleans())
def test_any_graph(gpus: int, edges: int, seed: int, empty: bool) -> None:
    rng = np.random.default_rng(seed)
    origin = rng.integers(0, gpus, edges)
    graph = RedundancyGraph(gpus, origin, (origin + rng.integers(1, gpus, edges)) % gpus)
    load, capacity = loads_of(graph, 3, seed)
    if empty:
        load, capacity = load * 0, capacity * 0
    for how in HOW:
        is_best(graph, split_on(how, graph, load, capacity), load, capacity)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ExpertError, match=r"load is \[2, 7\] and capacity \[2, 8\]; expected load \[layers, 8\] and"):
        split_over_edges_torch(ring(8), torch.zeros(2, 7), torch.zeros(2, 8))


@pytest.mark.skipif(not GPU, reason="needs a GPU")
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph.gpus}x{len(graph)}")
def test_captured_in_a_cuda_graph_it_is_right_for_loads_that_come_later(graph: RedundancyGraph) -> None:
    load, capacity = (torch.tensor(rows, device="cuda") for rows in loads_of(graph, 20, 5))
    split_over_edges_torch(graph, load, capacity)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        split = split_over_edges_torch(graph, load, capacity)
    for seed in (6, 7):
        later = loads_of(graph, 20, seed)
        for tensor, rows in zip((load, capacity), later, strict=True):
            tensor.copy_(torch.tensor(rows))
        captured.replay()
        on_cpu = (getattr(split, name).cpu() for name in ("moved", "load", "largest", "bound"))
        is_best(graph, TensorSplit(*on_cpu), *later)
