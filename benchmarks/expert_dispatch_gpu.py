"""The split on tensors on a GPU, captured in a CUDA graph, beside the compiled kernel on one core of the same machine.

    python benchmarks/expert_dispatch_gpu.py [--json]

58 layers at once, and one alone, of the made-up loads of `expert_dispatch.py`; mean of 20 batches. Needs torch and a
CUDA GPU.
"""

import argparse
import json
import sys
import time

import numpy as np
from expert_dispatch import GRAPHS, batch

from shadowprice.experts import RedundancyGraph, split_over_edges

try:
    import torch
except ImportError:
    sys.exit("expert_dispatch_gpu: torch is not installed here")

LAYERS, BATCHES, REPLAYS = 58, 20, 50


def replayed_us(graph: RedundancyGraph, batches: list[list[np.ndarray]]) -> tuple[float, float]:
    """Microseconds per batch on the GPU, and the largest relative difference to the compiled kernel."""
    from shadowprice.experts.dispatch_torch import split_over_edges_torch

    load, capacity = (torch.tensor(rows, device="cuda") for rows in batches[0])
    split_over_edges_torch(graph, load, capacity)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        split = split_over_edges_torch(graph, load, capacity)
    took_ms, apart = 0.0, 0.0
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for rows in batches:
        load.copy_(torch.tensor(rows[0]))
        capacity.copy_(torch.tensor(rows[1]))
        captured.replay()
        begin.record()
        for _ in range(REPLAYS):
            captured.replay()
        end.record()
        torch.cuda.synchronize()
        took_ms += begin.elapsed_time(end) / REPLAYS
        best = np.array([split_over_edges(graph, *one).largest for one in zip(*rows, strict=True)])
        apart = max(apart, float(np.abs(split.largest.cpu().numpy() / best - 1).max()))
    return took_ms / len(batches) * 1e3, apart


def on_one_core_us(graph: RedundancyGraph, batches: list[list[np.ndarray]]) -> float:
    """Microseconds per batch."""
    started_s = time.perf_counter()
    for rows in batches:
        for one in zip(*rows, strict=True):
            split_over_edges(graph, *one)
    return (time.perf_counter() - started_s) / len(batches) * 1e6


def measure(graph: RedundancyGraph) -> dict[str, float]:
    """All layers at once and one alone, on the GPU and on one core."""
    rng = np.random.default_rng(0)
    batches = [
        [np.stack(rows) for rows in zip(*(batch(graph, rng) for _ in range(LAYERS)), strict=True)]
        for _ in range(BATCHES)
    ]
    alone = [[rows[:1] for rows in one] for one in batches]
    gpu_us, apart = replayed_us(graph, batches)
    return {
        "gpu_us": gpu_us,
        "gpu_one_layer_us": replayed_us(graph, alone)[0],
        "core_us": on_one_core_us(graph, batches),
        "core_one_layer_us": on_one_core_us(graph, alone),
        "apart": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    as_json = parser.parse_args().json
    if not torch.cuda.is_available():
        sys.exit("expert_dispatch_gpu: torch finds no CUDA GPU here")
    rows = {name: measure(graph) for name, graph in GRAPHS.items()}
    if as_json:
        print(json.dumps({"device": torch.cuda.get_device_name(), "layers": LAYERS, "graphs": rows}, indent=1))
        return
    print(
        f"us per batch, {torch.cuda.get_device_name()} and one core beside it; {LAYERS} layers at once, and one alone"
    )
    for name, row in rows.items():
        print(
            f"{name:20} GPU {row['gpu_us']:7.1f} {row['gpu_one_layer_us']:7.1f}   core {row['core_us']:7.1f} "
            f"{row['core_one_layer_us']:7.1f}   largest relative difference {row['apart']:.0e}"
        )


if __name__ == "__main__":
    main()
