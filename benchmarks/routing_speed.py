"""How fast routing is simulated on one core: `python benchmarks/routing_speed.py [--check]`.

Decode only behind a barrier: 16 workers of 128 slots, a million requests with the lengths of the Azure chat preset, in
both regimes. Whole engines: 16 workers, 300,000 of these requests at 90 % of the stable rate, as replicas and in
lockstep. CPU time, best of three, compilation left out. --check: exit code 1 when a promised speed is missed.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from promises import at_least, conclude

from shadowprice.audit import make_case
from shadowprice.fleet import read_fleet
from shadowprice.routing import POLICIES
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.cluster import simulate_cluster
from shadowprice.simulate.routing_study import SETTING, at_load
from shadowprice.workload import PRESETS, Trace

WORKERS, SLOTS, REPEATS = 16, 128, 3
FEW = 20_000  # of the first run, which compiles
FLEET, LOAD = "llama-3.1-8b-h100", 0.9
TARGET_BARRIER, TARGET_ENGINES = 2_000_000, 50_000  # requests per second, of some built-in policy
Run = Callable[[Trace], object]


def speed(run: Run, trace: Trace) -> float:
    """Requests per second of CPU."""
    run(trace.take(np.arange(min(FEW, len(trace)))))
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        run(trace)
        seconds.append(time.process_time() - started)
    return len(trace) / min(seconds)


def barrier_speeds(name: str, trace: Trace, arriving: Trace) -> list[float]:
    """When slots bind, and on arrival."""
    ranks = Ranks(WORKERS, SLOTS)

    def bind(requests: Trace) -> object:
        return simulate_barrier(requests, POLICIES[name](), ranks, pool=SETTING.pool, saturated=True)

    def immediate(requests: Trace) -> object:
        return simulate_barrier(requests, POLICIES[name](), ranks)

    return [speed(bind, trace), speed(immediate, arriving)]


def engine_speeds(name: str, trace: Trace) -> list[float]:
    """Independent replicas, and data-parallel ranks in lockstep."""
    worker = read_fleet(FLEET).worker

    def serve(lockstep: bool) -> Run:
        return lambda part: simulate_cluster(part, worker, WORKERS, fcfs(), POLICIES[name](), lockstep=lockstep)

    return [speed(serve(False), trace), speed(serve(True), trace)]


def table(title: str, columns: tuple[str, str], rows: dict[str, list[float]]) -> float:
    """Print it; the best of its speeds."""
    print(f"{title}: requests per second")
    print(f"{'':22}{columns[0]:>14}{columns[1]:>14}")
    for name, speeds in rows.items():
        print(f"{name:22}" + "".join(f"{value:14,.0f}" for value in speeds))
    print()
    return max(value for speeds in rows.values() for value in speeds)


def main() -> int:
    """Print both tables and what was promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit code 1 when a promised speed is missed")
    parser.add_argument("--requests", type=int, default=1_000_000, help="decode only (1,000,000)")
    parser.add_argument("--engine-requests", type=int, default=300_000, help="whole engines, of these (300,000)")
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), default=list(POLICIES), metavar="POLICY")
    args = parser.parse_args()
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=args.requests)
    arriving = at_load(trace, WORKERS, SLOTS, SETTING)
    part = trace.take(np.arange(args.engine_requests))
    at_rate = make_case(part, replace(read_fleet(FLEET), workers=WORKERS), LOAD).trace
    barrier = table(
        f"decode only, {WORKERS} workers of {SLOTS} slots, {args.requests:,} requests",
        ("slots bind", "immediate"),
        {name: barrier_speeds(name, trace, arriving) for name in args.policies},
    )
    engines = table(
        f"whole engines, {WORKERS} workers of {FLEET}, {args.engine_requests:,} requests at load {LOAD}",
        ("replicas", "lockstep"),
        {name: engine_speeds(name, at_rate) for name in args.policies},
    )
    missed = conclude(
        [
            at_least("decode only, requests per second of CPU time", barrier, TARGET_BARRIER),
            at_least("whole engines, requests per second of CPU time", engines, TARGET_ENGINES),
        ]
    )
    return missed if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
