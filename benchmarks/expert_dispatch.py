"""How fast the exact dispatch kernel is beside a persistent HiGHS model of the same program, and what placement takes.

    .venv/bin/python benchmarks/expert_dispatch.py                 kernel and placement
    .venv/bin/python benchmarks/expert_dispatch.py kernel --instances 500
    .venv/bin/python benchmarks/expert_dispatch.py --json > dispatch.json
    .venv/bin/python benchmarks/expert_dispatch.py --check            exit code 1 when a target is missed

Kernel: on each redundancy graph, random batches; ours called from Python, then the kernel alone into arrays that are
there already, then HiGHS with the model kept and only bounds changed (its warm start), in turn on each instance, so
that what else the machine does disturbs all three. Medians; agreement is the largest relative difference of L*.
Placement: CPU time of one search for 58 layers of 256 made-up experts, and largest over mean GPU load before and after.
"""

import json
import time
from statistics import median
from typing import Annotated, Any

import highspy
import numpy as np
import typer
from promises import Promise, at_least, at_most, conclude, under
from rich.console import Console
from rich.table import Table

from shadowprice.experts import (
    RedundancyGraph,
    SearchOptions,
    cubes,
    dirichlet_loads,
    eplb,
    hypercube,
    place,
    placement_bound,
    ring,
    split_over_edges,
)
from shadowprice.experts._edge_kernel import split_edges
from shadowprice.experts.place import value_of

GRAPHS = {
    "ring, 8 GPUs": ring(8),
    "cube, 8 GPUs": hypercube(3),
    "hypercube, 16 GPUs": hypercube(4),
    "4 cubes, 32 GPUs": cubes(4),
    "8 cubes, 64 GPUs": cubes(8),
    "hypercube, 64 GPUs": hypercube(6),
}
TARGET_US = {"cube, 8 GPUs": 5.0, "8 cubes, 64 GPUs": 100.0}
TARGET_RATIO, TARGET_AGREEMENT, TARGET_PLACE_S = 10.0, 1e-9, 1.0
EXPERTS_PER_GPU = 8

Row = dict[str, Any]
Array = np.ndarray[Any, np.dtype[np.float64]]


def batch(graph: RedundancyGraph, rng: np.random.Generator) -> tuple[Array, Array]:
    """Loads and capacities of one batch: each GPU has a few experts of skewed popularity, the hottest have replicas."""
    popularity = rng.gamma(0.5, 1.0, (graph.gpus, EXPERTS_PER_GPU))
    tokens = -np.sort(-rng.poisson(200 * graph.gpus * EXPERTS_PER_GPU * popularity / popularity.sum()), axis=1)
    turn = np.zeros(graph.gpus, np.int64)
    capacity = np.empty(len(graph))
    for i, gpu in enumerate(graph.origin):
        capacity[i] = tokens[gpu, turn[gpu]]
        turn[gpu] += 1
    return tokens.sum(axis=1).astype(np.float64), capacity


class PersistentHighs:
    """The program  min L, l - out + in <= L, 0 <= f <= c  as one HiGHS model of which only bounds change."""

    def __init__(self, graph: RedundancyGraph) -> None:
        self.gpus, self.edges = graph.gpus, len(graph)
        self.highs = highspy.Highs.__base__()  # highspy.Highs itself prints a banner on stdout
        self.highs.setOptionValue("output_flag", False)
        self.highs.setOptionValue("threads", 1)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.edges + 1, self.gpus
        lp.col_cost_ = np.append(np.zeros(self.edges), 1.0)
        lp.col_lower_, lp.col_upper_ = np.zeros(self.edges + 1), np.full(self.edges + 1, np.inf)
        lp.row_lower_, lp.row_upper_ = np.zeros(self.gpus), np.full(self.gpus, np.inf)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.append(2 * np.arange(self.edges + 1), 2 * self.edges + self.gpus).astype(np.int32)
        ends = np.stack([graph.origin, graph.replica], axis=1).ravel()
        lp.a_matrix_.index_ = np.concatenate([ends, np.arange(self.gpus)]).astype(np.int32)
        lp.a_matrix_.value_ = np.concatenate([np.tile([1.0, -1.0], self.edges), np.ones(self.gpus)])
        self.highs.passModel(lp)
        self.columns, self.rows = np.arange(self.edges, dtype=np.int32), np.arange(self.gpus, dtype=np.int32)
        self.zeros, self.without_limit = np.zeros(self.edges), np.full(self.gpus, np.inf)

    def solve(self, load: Array, capacity: Array) -> float:
        self.highs.changeColsBounds(self.edges, self.columns, self.zeros, capacity)
        self.highs.changeRowsBounds(self.gpus, self.rows, load, self.without_limit)
        self.highs.run()
        return float(self.highs.getInfo().objective_function_value)


def kernel_row(name: str, graph: RedundancyGraph, instances: int, seed: int) -> Row:
    """Medians in microseconds over random batches."""
    rng, peer = np.random.default_rng(seed), PersistentHighs(graph)
    moved, after, cut = np.empty(len(graph)), np.empty(graph.gpus), np.empty(graph.gpus, np.uint8)
    times: list[tuple[float, float, float]] = []
    differ, before, reached = 0.0, [], []
    for k in range(instances + 10):
        load, capacity = batch(graph, rng)
        start = time.perf_counter()
        ours = split_over_edges(graph, load, capacity)
        called = time.perf_counter()
        split_edges(graph.adjacency, graph.gpus, load, capacity, False, moved, after, cut)
        alone = time.perf_counter()
        best = peer.solve(load, capacity)
        if k >= 10:  # the first ones warm up caches on both sides
            times.append((called - start, alone - called, time.perf_counter() - alone))
        differ = max(differ, abs(ours.largest - best) / best)
        before.append(load.max() / load.mean())
        reached.append(ours.largest / load.mean())
    ours_us, kernel_us, highs_us = (median(column) * 1e6 for column in zip(*times, strict=True))
    return {
        "graph": name,
        "edges": len(graph),
        "ours_us": ours_us,
        "ours_p99_us": float(np.quantile([row[0] for row in times], 0.99) * 1e6),
        "kernel_us": kernel_us,
        "highs_us": highs_us,
        "times_faster": highs_us / ours_us,
        "largest_difference": differ,
        "max_over_mean_before": float(np.mean(before)),
        "max_over_mean_after": float(np.mean(reached)),
    }


def placement_row(gpus: int, redundant: int, seed: int) -> Row:
    """One search for the optimal split over 58 layers x 256 experts x 16 batches."""
    loads = dirichlet_loads(np.random.default_rng(seed), batches=16, drift=0.2)
    slots = loads.experts + redundant
    relative = loads.relative(gpus)

    def worth(placement: Any, dispatch: Any) -> float:
        rows = enumerate(placement.expert_of_slot)
        return float(np.mean([value_of(relative[:, i], row, gpus, dispatch).mean() for i, row in rows]))

    place(loads, gpus, slots, np.random.default_rng(seed), search=SearchOptions(effort=1e-3))  # compile
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    ours = place(loads, gpus, slots, np.random.default_rng(seed))
    cpu_s, seconds = time.process_time() - start_cpu_s, time.perf_counter() - start_s
    greedy = eplb(loads.totals, slots, gpus)
    return {
        "gpus": gpus,
        "slots": slots,
        "cpu_s": cpu_s,
        "seconds": seconds,
        "eplb_even": worth(greedy, "even"),
        "eplb_optimal": worth(greedy, "optimal"),
        "ours_optimal": worth(ours, "optimal"),
        "bound": float(placement_bound(loads, gpus, slots).mean()),
    }


def show(rows: list[Row], title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "graph" else "right")
    for row in rows:
        table.add_row(*(text(value) for value in row.values()))
    console.print(table, "")


def text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if 0 < value < 1e-3 else f"{value:.3g}" if value < 10 else f"{value:.0f}"


def promises(kernel: list[Row], placement: list[Row]) -> list[Promise]:
    """Each target and what was reached."""
    found = []
    for row in kernel:
        if row["graph"] in TARGET_US:
            found.append(under(f"{row['graph']}: the kernel alone", row["kernel_us"], TARGET_US[row["graph"]], "us"))
    if kernel:
        ratio, differ = min(row["times_faster"] for row in kernel), max(row["largest_difference"] for row in kernel)
        found.append(at_least("times faster than HiGHS, where least", ratio, TARGET_RATIO))
        found.append(at_most("largest relative difference to HiGHS", differ, TARGET_AGREEMENT))
    for row in placement:
        what = f"placement of 58 x 256 experts on {row['gpus']} GPUs, CPU time"
        found.append(under(what, row["cpu_s"], TARGET_PLACE_S, "s"))
    return found


def main(
    part: Annotated[str, typer.Argument(help="kernel, placement or all.")] = "all",
    instances: Annotated[int, typer.Option(min=1, help="Random batches per graph.")] = 200,
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 when a target is missed.")] = False,
) -> None:
    """Dispatch kernel beside HiGHS, and the placement search."""
    if part not in ("kernel", "placement", "all"):
        raise typer.BadParameter(f"{part!r}; expected kernel, placement or all")
    kernel = [kernel_row(*pair, instances, seed) for pair in GRAPHS.items()] if part != "placement" else []
    sizes = ((8, 8), (16, 16), (32, 32), (64, 64))
    placement = [placement_row(*size, seed) for size in sizes] if part != "kernel" else []
    targets = promises(kernel, placement)
    if as_json:
        found = {promise.what: [promise.found, promise.held] for promise in targets}
        print(json.dumps({"kernel": kernel, "placement": placement, "targets": found}))
        raise typer.Exit(conclude(targets, quiet=True) if check else 0)
    console = Console(width=160, highlight=False)
    if kernel:
        show(kernel, "Exact min-max split: ours and a persistent HiGHS model", console)
    if placement:
        show(placement, "Placement search, 58 layers x 256 experts x 16 batches", console)
    missed = conclude(targets)
    raise typer.Exit(missed if check else 0)


if __name__ == "__main__":
    typer.run(main)
