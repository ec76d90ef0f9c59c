"""The split on tensors, captured in a CUDA graph, beside the compiled kernel on one core of the same machine.

    python benchmarks/expert_dispatch_gpu.py [--json]

58 layers at once of the made-up loads of `expert_dispatch.py`. turns: the fewest, in powers of two, after which every
layer of 20 batches is at its bound. Needs torch and a CUDA GPU.
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

LAYERS, BATCHES, REPLAYS = 58, 20, 200


def loads_of(graph: RedundancyGraph, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Load [layers, gpus] and capacity [layers, edges] of one batch."""
    layers = [batch(graph, rng) for _ in range(LAYERS)]
    return tuple(torch.tensor(np.stack(rows).astype(float)) for rows in zip(*layers, strict=True))  # type: ignore[return-value]


def measure(graph: RedundancyGraph) -> dict[str, float | int | bool]:
    """Microseconds per batch of all layers, both ways, and the largest relative difference of the two."""
    from shadowprice.experts.dispatch_torch import split_over_edges_torch

    rng = np.random.default_rng(0)
    batches = [loads_of(graph, rng) for _ in range(BATCHES)]
    load, capacity = (rows.cuda() for rows in batches[0])
    split_over_edges_torch(graph, load, capacity, turns=1)
    for turns in (8, 16, 32, 64, 128):
        captured = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(captured):
            split = split_over_edges_torch(graph, load, capacity, turns=turns)
        off, apart = 0.0, 0.0
        for rows in batches:
            load.copy_(rows[0])
            capacity.copy_(rows[1])
            captured.replay()
            off = max(off, float(((split.largest - split.bound) / split.bound).max()))
            best = [split_over_edges(graph, *one).largest for one in zip(*(r.numpy() for r in rows), strict=True)]
            apart = max(apart, float(np.max(np.abs(split.largest.cpu().numpy() / best - 1))))
        if off < 1e-9:
            break
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(REPLAYS):
        captured.replay()
    end.record()
    torch.cuda.synchronize()
    on_host = [tuple(r.numpy() for r in rows) for rows in batches]
    started_s = time.perf_counter()
    for rows in on_host:
        for one in zip(*rows, strict=True):
            split_over_edges(graph, *one)
    core_us = (time.perf_counter() - started_s) / BATCHES * 1e6
    gpu_us = begin.elapsed_time(end) / REPLAYS * 1e3
    return {"turns": turns, "off_bound": off, "off_kernel": apart, "gpu_us": gpu_us, "core_us": core_us}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    as_json = parser.parse_args().json
    if not torch.cuda.is_available():
        sys.exit("expert_dispatch_gpu: torch finds no CUDA GPU here")
    rows = {name: measure(graph) for name, graph in GRAPHS.items()}
    about = {"device": torch.cuda.get_device_name(), "layers": LAYERS, "graphs": rows}
    if as_json:
        print(json.dumps(about, indent=1))
        return
    print(f"{about['device']}, {LAYERS} layers at once")
    for name, row in rows.items():
        print(
            f"{name:20} {row['turns']:4} turns  GPU {row['gpu_us']:8.0f} us  one core {row['core_us']:8.0f} us  "
            f"off its bound {row['off_bound']:.0e}, off the kernel {row['off_kernel']:.0e}"
        )


if __name__ == "__main__":
    main()
