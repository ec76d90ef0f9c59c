"""NVIDIA's Rust replay (`dynamo.replay`, offline, one vLLM-like worker) on the workload.

Its step time is a profile file (prefill time by tokens, decode time by KV tokens and mean context), here a table of our
T(B, KV, P) with B = KV / mean context; between grid points it interpolates, which costs well under 0.1 %. Prefill and
decode of one step are added, so only a step that prefills and decodes nothing lacks the constant term. Prefix
caching is off, and so are the details kept for its planner. Timed: the replay call, which reads the workload as a
Mooncake trace file (it takes nothing else) and sums up its report.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("DYN_LOG", "error")

import numpy as np
from dynamo.replay import run_trace_replay
from peer import answer, timed, workload

TRACE_BLOCK_TOKENS = 512  # tokens that one hash stands for in a Mooncake trace


def write_trace(load: dict[str, Any], path: Path) -> None:
    """The workload as Mooncake JSONL; no two requests share a hash."""
    next_hash = 0
    with path.open("w") as file:
        for arrival_s, prompt, output in zip(
            load["arrival_s"], load["prompt_tokens"], load["output_tokens"], strict=True
        ):
            hashes = -(-prompt // TRACE_BLOCK_TOKENS)
            row = {
                "timestamp": arrival_s * 1e3,
                "input_length": prompt,
                "output_length": output,
                "hash_ids": list(range(next_hash, next_hash + hashes)),
            }
            next_hash += hashes
            file.write(json.dumps(row) + "\n")


def write_profile(load: dict[str, Any], path: Path) -> None:
    """T(B, KV, P) as tables in milliseconds."""
    time = {name: value * 1e3 for name, value in load["step_time"].items()}
    context = np.geomspace(64, 16_384, 1024)
    kv = np.array([0.0, float(load["limits"]["kv_tokens"])])[:, None]
    prefill = np.array([0.0, float(load["limits"]["max_num_batched_tokens"])])
    np.savez(
        path,
        prefill_isl=prefill,
        prefill_ttft_ms=prefill * time["per_prefill_token_s"],
        decode_active_kv_tokens=kv[:, 0],
        decode_context_length=context,
        decode_itl=time["fixed_s"] + (time["per_sequence_s"] / context + time["per_kv_token_s"]) * kv,
    )


def main() -> None:
    load = workload()
    limits = load["limits"]
    with tempfile.TemporaryDirectory() as folder:
        trace, profile = Path(folder) / "trace.jsonl", Path(folder) / "profile.npz"
        write_trace(load, trace)
        write_profile(load, profile)
        engine = {
            "backend": "vllm",
            "num_gpu_blocks": limits["kv_tokens"] // limits["block_size"],
            "block_size": limits["block_size"],
            "max_num_seqs": limits["max_num_seqs"],
            "max_num_batched_tokens": limits["max_num_batched_tokens"],
            "enable_prefix_caching": False,
            "timing_model": {"type": "external", "provider": "dynamo_profile", "config": {"path": str(profile)}},
        }
        report, seconds = timed(
            lambda: run_trace_replay([trace], extra_engine_args={"engine": engine}, trace_block_size=TRACE_BLOCK_TOKENS)
        )
    summary = report.summary
    answer(
        "Dynamo replay 1.6.1",
        summary["completed_requests"],
        seconds,
        summary["mean_e2e_latency_ms"] / 1e3,
    )


if __name__ == "__main__":
    main()
