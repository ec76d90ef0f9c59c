"""How fast the engine simulator is, beside the simulators that others use, on the same workload in the same minute.

    .venv/bin/python benchmarks/simulator_speed.py                peers, memory and start
    .venv/bin/python benchmarks/simulator_speed.py peers -k 5     only the comparison, five rounds
    .venv/bin/python benchmarks/simulator_speed.py --json > speed.json

Each run is a process of its own, held to one core, in turn: ours, peer, ours, next peer, and again. Imports, training
and reading our workload are not timed. All get the same step time T(B, KV, P); their mean latency is printed because it
must agree when they simulate the same thing. The speed is by CPU time, which other programs on the machine disturb
less than the clock; both are printed. The peers, NVIDIA's Rust replay in Dynamo and vidur, live in .venv-bench
(benchmarks/peers/setup.sh).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from peers import workload
from promises import Promise, at_least, conclude, under
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
BENCH_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
PEERS = {"Dynamo replay": "dynamo_replay.py", "vidur": "vidur_simulator.py"}
PARTS = ("peers", "memory", "start")
STARTS = 3
TARGET_REQUESTS_PER_S, TARGET_PEAK_BYTES, TARGET_START_S = 100_000, 2 * 2**30, 2.0
TARGET_TIMES_FASTER = 10.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Row = dict[str, Any]


def on_one_core(command: list[str | Path], **environment: str) -> Row:
    """Run the command held to one core; the JSON object on the last line that it prints, or {"error": why}."""
    hold = getattr(os, "sched_setaffinity", None)  # Linux only

    def to_one_core() -> None:
        if hold:
            hold(0, {max(os.sched_getaffinity(0))})

    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | ONE_THREAD | environment,
        preexec_fn=to_one_core,
        capture_output=True,
        text=True,
    )
    try:
        answer: Row = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return answer


def rate(runs: list[Row], seconds: str) -> float:
    """Median simulated requests per second."""
    return float(median(run["requests"] / run[seconds] for run in runs))


def ratio(ours: list[Row], theirs: list[Row], seconds: str) -> float:
    """Median over the pairs of how many times faster ours was than the peer that ran right after it."""
    return float(median(b[seconds] / a[seconds] for a, b in zip(ours, theirs, strict=True)))


def compare(path: Path, rounds: int, policy: str, say: Console) -> list[Row]:
    """One row for ours and one per peer, from `rounds` alternating runs."""
    pairs: dict[str, list[tuple[Row, Row]]] = {name: [] for name in PEERS}
    for turn in range(rounds):
        for name, script in PEERS.items():
            if not BENCH_PYTHON.exists():
                theirs: Row = {"error": "not installed: run benchmarks/peers/setup.sh"}
            elif pairs[name] and "error" in pairs[name][-1][1]:
                continue
            else:
                say.print(f"round {turn + 1} of {rounds}: ours, then {name}")
                theirs = {}
            ours = on_one_core([sys.executable, HERE / "peers" / "ours.py", path, policy])
            if "error" in ours:
                raise typer.Exit(fail(say, f"our own run failed: {ours['error']}"))
            pairs[name].append((ours, theirs or on_one_core([BENCH_PYTHON, HERE / "peers" / script, path])))
    all_ours = [ours for runs in pairs.values() for ours, _ in runs]
    return [summary(all_ours), *(peer_row(name, runs) for name, runs in pairs.items())]


def fail(say: Console, message: str) -> int:
    say.print(f"[red]{message}[/red]")
    return 1


def summary(runs: list[Row]) -> Row:
    """Medians of the runs of one simulator."""
    return {
        "peer": runs[0]["peer"],
        "requests": runs[0]["requests"],
        "runs": len(runs),
        "requests_per_cpu_s": rate(runs, "cpu_seconds"),
        "requests_per_s": rate(runs, "seconds"),
        "simulated_mean_e2e_s": runs[0]["simulated_mean_e2e_s"],
    }


def peer_row(name: str, runs: list[tuple[Row, Row]]) -> Row:
    """A peer's medians and how many times faster ours was, or why it did not run."""
    broken = [theirs["error"] for _, theirs in runs if "error" in theirs]
    if broken:
        missing = "No module named" in broken[0]
        return {"peer": name, "error": "not installed: run benchmarks/peers/setup.sh" if missing else broken[0]}
    ours, theirs = ([run[side] for run in runs] for side in (0, 1))
    ratios = {f"ours_faster_{unit}": ratio(ours, theirs, unit) for unit in ("cpu_seconds", "seconds")}
    return summary(theirs) | ratios


def start(requests: int, rate_per_s: float, seed: int) -> Row:
    """From the start of a process to the end of its first simulation: once with empty kernel caches, then with full.

    Returns first_s (by the clock) and, medians of STARTS later starts: second_s, cpu_s, import_s, simulate_s.
    """
    command: list[str | Path] = [sys.executable, HERE / "peers" / "fresh_process.py"]
    command += [str(requests), str(rate_per_s), str(seed)]
    runs = []
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(1 + STARTS):
            began = time.perf_counter()
            answer = on_one_core(command, NUMBA_CACHE_DIR=caches)
            runs.append(answer | {"second_s": time.perf_counter() - began})
    times = {name: median(run[name] for run in runs[1:]) for name in ("second_s", "cpu_s", "import_s", "simulate_s")}
    return {"requests": requests, "first_s": runs[0]["second_s"], **times}


def memory(requests: int, rate_per_s: float, seed: int) -> Row:
    """Peak resident memory of a process that simulates so many requests."""
    command: list[str | Path] = [sys.executable, HERE / "peers" / "fresh_process.py"]
    tail = [str(rate_per_s), str(seed)]
    on_one_core([*command, "10", *tail])  # fills the kernel caches, since a compiler's memory is not the simulator's
    return on_one_core([*command, str(requests), *tail])


def comparison_table(rows: list[Row], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("simulator", "requests/s", "by clock", "ours faster", "by clock"):
        table.add_column(heading, justify="left" if heading == "simulator" else "right")
    table.add_column("mean latency", justify="right")
    for row in rows:
        if "error" in row:
            table.add_row(row["peer"], row["error"])
            continue
        ratios = [
            f"{row[key]:.1f}x" if key in row else "" for key in ("ours_faster_cpu_seconds", "ours_faster_seconds")
        ]
        speeds = [f"{row[key]:,.0f}" for key in ("requests_per_cpu_s", "requests_per_s")]
        table.add_row(row["peer"], *speeds, *ratios, f"{row['simulated_mean_e2e_s']:.4f} s")
    return table


def targets(result: Row) -> list[Promise]:
    """Each number that we promise."""
    found = []
    if "peers" in result:
        ours, *peers = result["peers"]
        what = "simulated requests per second of CPU time"
        found.append(at_least(what, ours["requests_per_cpu_s"], TARGET_REQUESTS_PER_S))
        for peer in peers:
            faster = peer.get("error") or peer["ours_faster_cpu_seconds"]
            found.append(at_least(f"times as fast as {peer['peer']}, CPU time", faster, TARGET_TIMES_FASTER))
    if "memory" in result:
        found.append(under("peak memory", result["memory"]["peak_bytes"] / 2**30, TARGET_PEAK_BYTES / 2**30, "GiB"))
    if "start" in result:
        what = "second start and its first simulation, CPU time"
        found.append(under(what, result["start"]["cpu_s"], TARGET_START_S, "s"))
    return found


def print_result(result: Row, console: Console) -> None:
    load = result["workload"]
    if "peers" in result:
        title = f"{load['requests']:,} requests, Poisson {load['rate_per_s']:g}/s, one worker, one core"
        console.print(comparison_table(result["peers"], title))
    if "memory" in result:
        row = result["memory"]
        speed = row["requests"] / row["simulate_s"]
        peak = row["peak_bytes"] / 2**30
        console.print(f"{row['requests']:,} requests: peak memory {peak:.2f} GiB, {speed:,.0f} requests/s (clock)")
    if "start" in result:
        row = result["start"]
        console.print(
            f"second start of a process, to the end of its first simulation of {row['requests']:,} requests: "
            f"{row['cpu_s']:.2f} s of CPU time, {row['second_s']:.2f} s by the clock (import {row['import_s']:.2f}, "
            f"simulation {row['simulate_s']:.2f}); the first start, which compiles: {row['first_s']:.1f} s"
        )


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(PARTS)}; all by default.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", "-k", min=1, help="Runs of each peer.")] = 3,
    requests: Annotated[int, typer.Option(min=1, help="Requests of the comparison and of the start.")] = 10_000,
    many: Annotated[int, typer.Option(min=1, help="Requests of the memory run.")] = 1_000_000,
    rate: Annotated[float, typer.Option(min=1e-6, help="Arrivals per second (Poisson).")] = 8.0,
    policy: Annotated[str, typer.Option(help="Our policy; the peers run first come first served.")] = "fcfs",
    seed: Annotated[int, typer.Option(help="Seed of the workload.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 when a target is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Simulated requests per second: ours beside NVIDIA's Rust replay and vidur; peak memory; second start."""
    say = Console(stderr=True)
    if unknown := set(parts or ()) - set(PARTS):
        say.print(f"unknown part {', '.join(sorted(unknown))}; expected {', '.join(PARTS)}")
        raise typer.Exit(2)
    wanted = parts or PARTS
    result: Row = {"workload": {"requests": requests, "rate_per_s": rate, "seed": seed, **workload.LIMITS}}
    if "peers" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "workload.json"
            columns = {name: column.tolist() for name, column in workload.columns(requests, rate, seed).items()}
            path.write_text(json.dumps({**columns, "step_time": workload.STEP_TIME, "limits": workload.LIMITS}))
            result["peers"] = compare(path, rounds, policy, say)
    if "memory" in wanted:
        say.print(f"{many:,} requests in one process")
        result["memory"] = memory(many, rate, seed)
    if "start" in wanted:
        say.print("a process with empty kernel caches, then three with full ones")
        result["start"] = start(requests, rate, seed)
    promises = targets(result)
    result["targets"] = {promise.what: promise.held for promise in promises}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result, Console())
    missed = conclude(promises, quiet=as_json)
    raise typer.Exit(missed if check else 0)


if __name__ == "__main__":
    typer.run(main)
