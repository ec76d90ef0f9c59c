"""The published synthetic study of MC-SF (2502.07115) once more: its mean ratio to the optimum, as an interval.

Setting, from memory of the paper: M uniform on 30..50; prompts uniform on 1..5, outputs uniform on 1..M-s; either n
uniform on 40..60 requests, all at round 0, or Poisson arrivals at a rate uniform on 0.5..1.5 per round over T uniform
on 40..60 rounds. Published, 200 instances each: 1.005 (worst 1.074, 114 of 200 exactly 1) and 1.047 (worst 1.227).

Exact optima are out of reach at this size, so each ratio is an interval: MC-SF over the best schedule found (the ratio
to the optimum is no smaller) and over the proved bound (it is no larger). Fewer requests (`--requests 6 8`) can be
solved to the end.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from multiprocessing import Pool
from typing import Any

import numpy as np
from promises import Promise, at_least, at_most, conclude

from shadowprice.scheduling import POLICIES
from shadowprice.scheduling.optimum import hindsight_interval
from shadowprice.scheduling.problem import RoundInstance
from shadowprice.simulate.rounds import simulate

PUBLISHED: dict[str, tuple[float, float, int]] = {"zero": (1.005, 1.074, 114), "poisson": (1.047, 1.227, 0)}
SIZE = (40, 60)  # requests of the study
TARGET_FOUND, TARGET_LOOSENESS = 1.05, 1.25
SECONDS_PER_MOVE_AND_REQUEST = 6e-8  # of the search, measured at n = 50; sizes the search to the time allowed


@dataclass(frozen=True)
class Row:
    """One instance: total latencies [rounds] of MC-SF, the best schedule and the bound."""

    requests: int
    mc_sf: int
    best: int
    bound: int


def instance(rng: np.random.Generator, arrivals: str, requests: tuple[int, int]) -> RoundInstance:
    """One instance of the setting; with Poisson arrivals `requests` is the range of T (about one arrival a round)."""
    memory = int(rng.integers(30, 51))
    n = int(rng.integers(requests[0], requests[1] + 1))
    arrival = np.zeros(n, dtype=np.int64)
    if arrivals == "poisson":
        count = rng.poisson(rng.uniform(0.5, 1.5), n)
        arrival = np.repeat(np.arange(n), count)
        arrival = arrival if len(arrival) else np.zeros(1, dtype=np.int64)
    prompt = rng.integers(1, 6, len(arrival))
    return RoundInstance(arrival, prompt, rng.integers(1, memory - prompt + 1), memory)


def study_one(task: tuple[int, str, tuple[int, int], float]) -> Row:
    seed, arrivals, requests, seconds = task
    rng = np.random.default_rng([seed, len(arrivals)])
    case = instance(rng, arrivals, requests)
    mc_sf = simulate(case, POLICIES["mc_sf"]())
    moves = int(min(0.5 * seconds / (2 * SECONDS_PER_MOVE_AND_REQUEST * len(case)), 2_000_000))
    program_s = 0.5 * seconds if len(case) <= 20 else 0.0  # above, HiGHS does not finish its first linear program
    interval = hindsight_interval(case, rng, moves, 1500, program_s, (mc_sf.start,))
    case.require_feasible(interval.starts)
    return Row(len(case), mc_sf.total_latency, interval.value, interval.bound)


def summary(arrivals: str, rows: list[Row], seconds: float) -> dict[str, Any]:
    least = np.array([row.mc_sf / row.best for row in rows])
    most = np.array([row.mc_sf / row.bound for row in rows])
    mean, worst, optimal = PUBLISHED[arrivals]
    return {
        "arrivals": arrivals,
        "instances": len(rows),
        "solved_to_optimality": sum(row.best == row.bound for row in rows),
        "mean_ratio": [float(least.mean()), float(most.mean())],
        "worst_ratio": [float(least.max()), float(most.max())],
        "mc_sf_proved_optimal": sum(row.mc_sf == row.bound for row in rows),
        "mc_sf_proved_not_optimal": sum(row.mc_sf > row.best for row in rows),
        "published_mean_ratio": mean,
        "published_worst_ratio": worst,
        "published_optimal": optimal or None,
        "seconds": seconds,
    }


def promises(line: dict[str, Any]) -> list[Promise]:
    """What the search and the bound reach at the size of the study."""
    low, high = line["mean_ratio"]
    return [
        at_least(f"{line['arrivals']}: latency of MC-SF by that of the best schedule found", low, TARGET_FOUND),
        at_most(f"{line['arrivals']}: mean ratio to the bound by that to the best found", high / low, TARGET_LOOSENESS),
    ]


def show(line: dict[str, Any]) -> None:
    def interval(name: str) -> str:
        low, high = line[name]
        return f"in [{low:.4f}, {high:.4f}]   published {line['published_' + name]}"

    print(f"arrivals {line['arrivals']}: {line['instances']} instances in {line['seconds']:.0f} s")
    print(f"  mean ratio of MC-SF to the optimum   {interval('mean_ratio')}")
    print(f"  worst ratio                          {interval('worst_ratio')}")
    print(f"  instances solved to optimality       {line['solved_to_optimality']}")
    print(f"  MC-SF proved optimal                 {line['mc_sf_proved_optimal']}")
    print(f"  MC-SF proved not optimal             {line['mc_sf_proved_not_optimal']}", end="")
    print(f"   published {200 - PUBLISHED['zero'][2]} of 200" if line["published_optimal"] else "")


def main() -> int:
    """Study both kinds of arrivals; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=200, help="instances of each kind of arrivals (200)")
    parser.add_argument("--seconds-per-instance", type=float, default=5.0, help="time to search and bound one (5)")
    parser.add_argument("--arrivals", choices=["zero", "poisson", "both"], default="both")
    parser.add_argument("--requests", type=int, nargs=2, default=SIZE, metavar=("LOW", "HIGH"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    args = parser.parse_args()
    lines = []
    for arrivals in ("zero", "poisson") if args.arrivals == "both" else (args.arrivals,):
        began = time.perf_counter()
        first = args.seed * args.instances
        tasks = [(first + i, arrivals, tuple(args.requests), args.seconds_per_instance) for i in range(args.instances)]
        rows = []
        with Pool(args.processes) as pool:
            for row in pool.imap(study_one, tasks):
                rows.append(row)
                if sys.stderr.isatty():
                    print(f"\r{arrivals}: {len(rows)}/{args.instances} {asdict(row)}", end="", file=sys.stderr)
        lines.append(summary(arrivals, rows, time.perf_counter() - began))
        if not args.json:
            show(lines[-1])
    if args.json:
        print(json.dumps({"study": lines}))
    targets = [promise for line in lines for promise in promises(line)] if tuple(args.requests) == SIZE else []
    return conclude(targets, quiet=args.json)


if __name__ == "__main__":
    sys.exit(main())
