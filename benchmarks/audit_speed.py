"""How long an audit takes on one core: table and bound of a real trace, and the bound alone of a million requests.

    python benchmarks/audit_speed.py [TRACE] [--many 1000000]

Without TRACE it takes azure2023_conv.csv of ../shared/data, or the public trace. Reading and compiling are not timed.
Exit code 1 when a target is missed: 10 s of CPU time for each.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from chat_trace import chat_trace
from promises import Promise, conclude, under

from shadowprice.audit import audit
from shadowprice.fleet import read_fleet
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.workload import PRESETS

FLEET = "llama-3.1-8b-h100"
TARGET_S = 10.0


def timed(what: str, run: Callable[[], object]) -> Promise:
    """Run it and print its times."""
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    run()
    cpu_s, clock_s = time.process_time() - cpu_s, time.perf_counter() - clock_s
    print(f"{what}: {cpu_s:.2f} s of CPU time, {clock_s:.2f} s by the clock")
    return under(f"{what}, CPU time", cpu_s, TARGET_S, "s")


def main() -> int:
    """Print both times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", nargs="?", help="trace file or public trace")
    parser.add_argument("--many", type=int, default=1_000_000, help="requests of the bound (1,000,000)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # Linux only
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    fleet = read_fleet(FLEET)
    preset = PRESETS["azure-conv-like"]
    audit(preset(np.random.default_rng(0), requests=100), fleet, [1.0])  # compiles
    trace = chat_trace(args.trace)
    many = preset(np.random.default_rng(0), requests=args.many, rate_per_s=23.0)  # about the stable rate

    audited = timed(f"audit of {len(trace):,} requests at load 1", lambda: audit(trace, fleet, [1.0]))
    lengths = many.prompt_tokens, many.output_tokens
    bound = timed(f"bound of {args.many:,} requests", lambda: latency_bound(many.arrival_s, *lengths, fleet.worker))
    return conclude([audited, bound])


if __name__ == "__main__":
    sys.exit(main())
