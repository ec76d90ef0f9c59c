"""Measured logs made by the simulator, so that the truth behind them is known."""

import json
from pathlib import Path

import numpy as np

from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate import EngineRun, simulate
from shadowprice.workload import Trace

WALL_S, MONOTONIC_S = 1_700_000_000.0, 4_000.0  # zero of the two clocks of a real log


def run_of(worker: Worker, *, requests: int = 200, rate_per_s: float = 8.0, seed: int = 0) -> EngineRun:
    """Poisson arrivals, prompts of 200 to 1500 tokens, outputs of 50 to 400, served first come first served."""
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1 / rate_per_s, requests))
    prompt, output = rng.integers(200, 1500, requests), rng.integers(50, 400, requests)
    return simulate(Trace(arrival_s - arrival_s[0], prompt, output, name="made"), worker, fcfs())


def write_log(run: EngineRun, path: Path) -> Path:
    """The run as vLLM's per-request log."""
    trace = run.trace
    columns = {
        "input_toks": trace.prompt_tokens,
        "output_toks": trace.output_tokens,
        "arrival_time": WALL_S + trace.arrival_s,
        "queued_ts": MONOTONIC_S + trace.arrival_s,
        "scheduled_ts": MONOTONIC_S + run.scheduled_s,
        "first_token_ts": MONOTONIC_S + run.first_token_s,
        "last_token_ts": MONOTONIC_S + run.finish_s,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    return path


def write_client_log(run: EngineRun, path: Path) -> Path:
    """The run as `vllm bench serve --save-detailed` writes what its client saw."""
    trace = run.trace
    gaps = [
        [] if output == 1 else [span / (output - 1)] * (output - 1)
        for output, span in zip(trace.output_tokens.tolist(), (run.finish_s - run.first_token_s).tolist(), strict=True)
    ]
    lists = {
        "input_lens": trace.prompt_tokens.tolist(),
        "output_lens": trace.output_tokens.tolist(),
        "ttfts": run.ttft_s.tolist(),
        "itls": gaps,
        "start_times": (MONOTONIC_S + trace.arrival_s).tolist(),
        "errors": [""] * len(trace),
    }
    path.write_text(json.dumps({"backend": "vllm", "completed": len(trace), **lists}, indent=2))
    return path
