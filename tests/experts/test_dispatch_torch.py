"""The split on tensors gives the kernel's numbers."""

import numpy as np
import pytest

from shadowprice.experts import RedundancyGraph, cubes, hypercube, ring, split_over_edges, torus

torch = pytest.importorskip("torch", reason="torch is optional and not installed here")
from shadowprice.experts.dispatch_torch import split_over_edges_torch  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
GRAPHS = [ring(8), hypercube(3), hypercube(4), torus(3, 4), cubes(8)]
GRAPHS.append(RedundancyGraph(3, np.array([0, 0, 1]), np.array([1, 1, 0])))


def loads_of(graph: RedundancyGraph, layers: int, seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    capacity = np.floor(rng.gamma(0.4, 100, (layers, len(graph))))
    load = np.floor(rng.gamma(1.0, 100, (layers, graph.gpus)))
    for layer in range(layers):
        np.add.at(load[layer], graph.origin, capacity[layer])
    return load, capacity


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph.gpus}x{len(graph)}")
@pytest.mark.parametrize("seed", range(2))
def test_same_optimum_as_the_kernel_and_a_split_that_attains_it(graph: RedundancyGraph, seed: int, device: str) -> None:
    load, capacity = loads_of(graph, 30, seed)
    split = split_over_edges_torch(graph, torch.tensor(load, device=device), torch.tensor(capacity, device=device))
    best = [split_over_edges(graph, *rows).largest for rows in zip(load, capacity, strict=True)]
    assert split.largest.cpu().numpy() == pytest.approx(best, rel=1e-9)
    assert split.bound.cpu().numpy() == pytest.approx(best, rel=1e-9)
    moved = split.moved.cpu().numpy()
    assert np.all(moved >= -1e-9) and np.all(moved <= capacity + 1e-9)
    after = load.copy()
    for layer in range(len(load)):
        np.add.at(after[layer], graph.origin, -moved[layer])
        np.add.at(after[layer], graph.replica, moved[layer])
    assert split.load.cpu().numpy() == pytest.approx(after, abs=1e-6)


def test_any_number_of_turns_gives_a_split_and_a_bound() -> None:
    graph = cubes(2)
    load, capacity = loads_of(graph, 20, 3)
    best = np.array([split_over_edges(graph, *rows).largest for rows in zip(load, capacity, strict=True)])
    for turns in (0, 1, 5, 40):
        split = split_over_edges_torch(graph, torch.tensor(load), torch.tensor(capacity), turns=turns)
        assert np.all(split.bound.numpy() <= best * (1 + 1e-9))
        assert np.all(split.largest.numpy() >= best * (1 - 1e-9))
    assert split.largest.numpy() == pytest.approx(best, rel=1e-9)


def test_float32_is_exact_to_its_precision(device: str) -> None:
    graph = hypercube(3)
    load, capacity = loads_of(graph, 20, 4)
    given = (torch.tensor(rows, device=device).float() for rows in (load, capacity))
    split = split_over_edges_torch(graph, *given)
    best = [split_over_edges(graph, *rows).largest for rows in zip(load, capacity, strict=True)]
    assert split.largest.cpu().numpy() == pytest.approx(best, rel=1e-5)


@pytest.mark.skipif("cuda" not in DEVICES, reason="needs a CUDA GPU")
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{graph.gpus}x{len(graph)}")
def test_captured_in_a_cuda_graph_it_is_right_for_loads_that_come_later(graph: RedundancyGraph) -> None:
    load, capacity = (torch.tensor(rows, device="cuda") for rows in loads_of(graph, 20, 5))
    split_over_edges_torch(graph, load, capacity, turns=1)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        split = split_over_edges_torch(graph, load, capacity, turns=64)
    for seed in (6, 7):
        later = loads_of(graph, 20, seed)
        for tensor, rows in zip((load, capacity), later, strict=True):
            tensor.copy_(torch.tensor(rows))
        captured.replay()
        best = [split_over_edges(graph, *rows).largest for rows in zip(*later, strict=True)]
        assert split.largest.cpu().numpy() == pytest.approx(best, rel=1e-9)
        assert split.bound.cpu().numpy() == pytest.approx(best, rel=1e-9)
