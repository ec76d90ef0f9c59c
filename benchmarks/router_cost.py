"""What a router costs on the way of a request, ours beside the peers, each held to one core, in the same minutes.

    .venv/bin/python benchmarks/router_cost.py                        quiet, then with a program burning on that core
    .venv/bin/python benchmarks/router_cost.py small paced -k 5       two of the cases, five rounds
    .venv/bin/python benchmarks/router_cost.py --quiet-only --json > cost.json

All routers stand before the same four mock workers, which answer at once (paced: 128 streams, a token every 20 ms),
on the core that the load generator has too. In each round each case is run by every router in turn; a ratio is the
median over the rounds of a router's cost by that of vllm-router's round robin in the same round. Cost is CPU time as
the kernel accounts it to the router's threads, which other programs disturb less than the clock; throughput is not
printed, since on a shared machine it measures the neighbours. p50: of one connection at a time, less the same without
a router. With shadow evaluation the router's own process counts, not the one in which every policy is scored, which is
kept on the other core.
"""

import contextlib
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Annotated, Any

import typer
from promises import Promise, at_most, conclude, under
from rich.console import Console
from rich.progress import track
from rich.table import Table
from router.contestants import SHADOW, Running, present, router
from router.placement import cores
from router.programs import BenchError, Row, cpu_s, family, hold, load, mock_workers, resident_bytes

REFERENCE = "vllm-router round_robin"
OURS = "ours bf_io"
CONTESTANTS = (
    OURS,
    OURS + SHADOW,
    "ours round_robin",
    REFERENCE,
    "vllm-router power_of_two",
    "vllm-router cache_aware",
    "sglang-router round_robin",
    "sglang-router cache_aware",
    "smg round_robin",
)
WORKERS = 4
STEP_US = 20_000  # of the paced workers
ADDED_MS = 0.3  # the most that ours may add to the median latency
MOST = {"small": 0.8, "8KB": 0.8, "paced": 0.95}  # of the reference's CPU time; 1 of other cases


@dataclass(frozen=True)
class Case:
    """One kind of traffic. per_token: its cost is that of a streamed token and not of a request."""

    title: str
    load: dict[str, Any]
    per_token: bool = False
    paced: bool = False
    latency: bool = False


CASES = {
    "small": Case("us/request", {"connections": 16}),
    "8KB": Case("us/request 8 KB", {"connections": 16, "prompt_bytes": 8192}),
    "512KB": Case("us/request 512 KB", {"connections": 4, "prompt_bytes": 524_288}),
    "burst": Case("us/token burst", {"connections": 16, "stream": True, "max_tokens": 64}, per_token=True),
    "paced": Case("us/token paced", {"connections": 128, "stream": True, "max_tokens": 64}, True, paced=True),
    "latency": Case("added p50 ms", {"connections": 1}, latency=True),
}


def burn(core: int | None) -> None:
    hold(core)
    while True:
        pass


@contextlib.contextmanager
def neighbour(noisy: bool, core: int | None) -> Iterator[None]:
    """A program that wants all of the router's core, if `noisy`, for the length of a block."""
    process = multiprocessing.get_context("fork").Process(target=burn, args=(core,), daemon=True)
    if noisy:
        process.start()
    try:
        yield
    finally:
        if noisy:
            process.terminate()
            process.join()


def measure(case: Case, target: Running | int, seconds: float, core: int | None) -> float:
    """Cost of the case [us] through a router, or its median latency [ms] (of a port: without a router)."""
    if case.latency:
        port = target if isinstance(target, int) else target.port
        return float(load(port, core, seconds=seconds, **case.load)["e2e_ms"]["p50"])
    assert isinstance(target, Running)
    alone = target.name.endswith(SHADOW)
    for child in family(target.pid)[1:] if alone else ():  # the evaluation, which may start at any time
        hold(core, child)
    before = cpu_s(target.pid, alone=alone)
    done = load(target.port, core, seconds=seconds, **case.load)
    spent = cpu_s(target.pid, alone=alone) - before
    if done["complete"] < 0.99 * done["sent"]:
        raise BenchError(f"{target.name}: {done['complete']} of {done['sent']} requests were answered whole")
    return 1e6 * spent / (done["tokens"] if case.per_token else done["complete"])


def rounds_of(names: list[str], cases: list[str], rounds: int, seconds: float, noisy: bool, rows: list[Row]) -> None:
    """Adds a row per contestant: costs by case, one number per round, and its memory after all of it."""
    front, back = cores()
    found: dict[str, dict[str, list[float]]] = {name: {case: [] for case in cases} for name in names}
    memory = dict.fromkeys(names, 0)
    for paced in (False, True):
        some = [name for name in cases if CASES[name].paced == paced]
        pace = {"mode": "steps", "step_us": STEP_US} if paced else {"mode": "instant"}
        if not some:
            continue
        with contextlib.ExitStack() as open_now:
            urls = open_now.enter_context(mock_workers(WORKERS, back, **pace))
            direct = int(urls[0].rsplit(":", 1)[1])
            routers = {name: open_now.enter_context(router(name, urls, front)) for name in names}
            open_now.enter_context(neighbour(noisy, front))
            turns = [(case, name) for _ in range(rounds) for case in some for name in names]
            direct_ms = 0.0
            for case, name in track(turns, "noisy" if noisy else "quiet", console=Console(stderr=True), transient=True):
                if CASES[case].latency and name == names[0]:
                    direct_ms = measure(CASES[case], direct, seconds, back)
                cost = measure(CASES[case], routers[name], seconds, back)
                found[name][case].append(cost - direct_ms if CASES[case].latency else cost)
            for name in names:
                memory[name] = max(memory[name], resident_bytes(routers[name].pid))
    rows += [{"router": name, "noisy": noisy, "cost": found[name], "resident_bytes": memory[name]} for name in names]


def add_ratios(rows: list[Row]) -> None:
    """Beside each cost, the median ratio to the reference's in the same round of the same setting."""
    for row in rows:
        base = next((r for r in rows if r["router"] == REFERENCE and r["noisy"] == row["noisy"]), None)
        row["ratio"] = {}
        for case in row["cost"]:
            if base and not CASES[case].latency:
                row["ratio"][case] = median(by_round(row, base, case))


def by_round(row: Row, other: Row, case: str) -> list[float]:
    """Costs of one by those of the other, in the same rounds."""
    return [one / another for one, another in zip(row["cost"][case], other["cost"][case], strict=True)]


def targets(rows: list[Row]) -> list[Promise]:
    """Each number that we promise; nothing is promised where ours is missing, or the reference."""
    found = []
    for row in rows:
        if row["router"] != OURS:
            continue
        setting = "noisy" if row["noisy"] else "quiet"
        for case, ratio in row["ratio"].items():
            most = MOST.get(case, 1.0)
            found.append(at_most(f"{setting}, {case}: CPU time by that of {REFERENCE}", ratio, most))
        shadow = next((r for r in rows if r["router"] == OURS + SHADOW and r["noisy"] == row["noisy"]), None)
        ratios = [by_round(shadow, row, case) for case in row["cost"] if not CASES[case].latency] if shadow else []
        if ratios:
            ratio = median(chain.from_iterable(ratios))
            found.append(at_most(f"{setting}: CPU time with shadow evaluation by that without", ratio, 1.05))
        if "latency" in row["cost"] and not row["noisy"]:
            found.append(under(f"{setting}: added at the median", median(row["cost"]["latency"]), ADDED_MS, "ms"))
    return found


def cost_table(rows: list[Row], cases: list[str], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("router, its policy", no_wrap=True)
    for case in cases:
        table.add_column(CASES[case].title, justify="right")
    table.add_column("memory", justify="right")
    for row in rows:
        cells = []
        for case in cases:
            cost, ratio = median(row["cost"][case]), row["ratio"].get(case)
            cells.append(
                f"{cost:.2f}" if CASES[case].latency else f"{cost:.1f}" + (f" ({ratio:.2f}x)" if ratio else "")
            )
        table.add_row(row["router"], *cells, f"{row['resident_bytes'] / 2**20:.0f} MiB")
    return table


def print_result(result: Row, cases: list[str], console: Console) -> None:
    for noisy in (False, True):
        rows = [row for row in result["rows"] if row["noisy"] == noisy]
        beside = "a program burning on the router's core" if noisy else "nothing else of ours on the router's core"
        if rows:
            console.print(cost_table(rows, cases, f"{beside}; (ratio to {REFERENCE})"))
    for row in result["missing"]:
        console.print(f"{row['router']}: {row['error']}")


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(CASES)}; all by default.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", "-k", min=1, help="Runs of each case by each router.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a run.")] = 1.0,
    routers: Annotated[str, typer.Option(help="Which, separated by commas: 'ours bf_io,smg least_load'.")] = "",
    quiet_only: Annotated[bool, typer.Option("--quiet-only", help="Leave out the noisy half.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 when a target is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """CPU time per request and per token, added latency and memory: ours beside vllm-router, sglang-router and smg."""
    say = Console(stderr=True)
    if unknown := set(parts or ()) - set(CASES):
        say.print(f"unknown case {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
        raise typer.Exit(2)
    cases = [name for name in CASES if name in (parts or CASES)]
    absent: list[Row] = []
    rows: list[Row] = []
    try:
        names = present(routers.split(",") if routers else CONTESTANTS, absent)
        for noisy in (False,) if quiet_only else (False, True):
            rounds_of(names, cases, rounds, seconds, noisy, rows)
    except BenchError as error:
        say.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    add_ratios(rows)
    promises = targets(rows)
    result: Row = {"rows": rows, "missing": absent, "targets": {promise.what: promise.held for promise in promises}}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result, cases, Console(width=130))
    alone = at_most(f"CPU time by that of {REFERENCE}", f"needs {OURS} and {REFERENCE}", 1.0)
    missed = conclude(promises or [alone], quiet=as_json)
    raise typer.Exit(missed if check else 0)


if __name__ == "__main__":
    typer.run(main)
