"""What every simulator in this directory does: read the workload, time one run, print one JSON line.

The workload is a JSON object: arrival_s, prompt_tokens, output_tokens (one entry per request), step_time (the four
coefficients of T(B, KV, P), in seconds) and the worker's limits under vLLM's flag names.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def workload() -> dict[str, Any]:
    """The workload named by the first argument."""
    loaded: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return loaded


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `run` returns, and the seconds it took by the clock and in CPU time of this process (all its threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def answer(peer: str, requests: int, seconds: dict[str, float], mean_e2e_s: float) -> None:
    """Print the run's one JSON line."""
    print(json.dumps({"peer": peer, "requests": requests, **seconds, "simulated_mean_e2e_s": mean_e2e_s}))
