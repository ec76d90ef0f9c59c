"""How long an audit takes on one core: table and bound of a real trace, and the bound alone of a million requests.

    python benchmarks/audit_speed.py [TRACE]

Without TRACE it takes azure2023_conv.csv of ../shared/data. Reading and compiling are not timed. Exit code 1 when a
target is missed: 10 s of CPU time for each.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shadowprice.audit import audit
from shadowprice.fleet import read_fleet
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.workload import PRESETS, read_trace

TRACE = Path(__file__).parents[1] / ".." / "shared" / "data" / "azure2023_conv.csv"
FLEET = "llama-3.1-8b-h100"
TARGET_S = 10.0
MANY = 1_000_000


def timed(what: str, run: Callable[[], object]) -> bool:
    """Run it, print its times, and say whether the target was met."""
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    run()
    cpu_s, clock_s = time.process_time() - cpu_s, time.perf_counter() - clock_s
    held = cpu_s < TARGET_S
    print(f"{'held  ' if held else 'missed'} {what}: {cpu_s:.2f} s of CPU time, {clock_s:.2f} s by the clock")
    return held


def main() -> int:
    """Print both times."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TRACE
    if not path.exists():
        print(f"no trace given, and none at {path}", file=sys.stderr)
        return 2
    if hasattr(os, "sched_setaffinity"):  # Linux only
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    fleet = read_fleet(FLEET)
    preset = PRESETS["azure-conv-like"]
    audit(preset(np.random.default_rng(0), requests=100), fleet, [1.0])  # compiles
    trace = read_trace(path)
    many = preset(np.random.default_rng(0), requests=MANY, rate_per_s=23.0)  # about the stable rate

    held = timed(f"audit of {len(trace):,} requests at load 1", lambda: audit(trace, fleet, [1.0]))
    lengths = many.prompt_tokens, many.output_tokens
    held &= timed(f"bound of {MANY:,} requests", lambda: latency_bound(many.arrival_s, *lengths, fleet.worker))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
