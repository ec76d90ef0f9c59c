"""What a router does when workers and clients fail, ours beside the peers, each with its default settings.

    .venv/bin/python benchmarks/router_faults.py                                 every fault, about two minutes a router
    .venv/bin/python benchmarks/router_faults.py hung frozen --routers 'ours bf_io' --check

The faults are those of router/fault_cases.py. --check fails when ours loses a plain request, leaves a client stuck,
needs five seconds to use a worker again, sends a failing worker more than its even share, lets a cut stream look whole,
or breaks its own limit. Nobody else is checked.
"""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from promises import Promise, conclude, holds
from rich.console import Console
from rich.table import Table
from router.contestants import OURS, present, split
from router.fault_cases import CASES, LIMIT, PROGRESS_TIMEOUT_S, RECOVERY_S, WORKERS
from router.programs import BenchError, Row

CONTESTANTS = ("ours bf_io", "vllm-router round_robin", "sglang-router round_robin", "smg round_robin")
RECOVERED_S = 5.0
EVEN_SHARE = 1 / WORKERS
PATIENCE_S = PROGRESS_TIMEOUT_S + 2.0  # how long a client may wait for what a silent worker was given


def looks_whole(seen: Row) -> int:
    """Streams that ended in good form without all their tokens."""
    return int(seen["failed"].get("short_clean", 0) + seen["failed"].get("error_then_done", 0))


def recovered(seen: Row) -> bool:
    return seen["recovery_s"] is not None and seen["recovery_s"] < RECOVERED_S


CHECKS: dict[str, list[tuple[str, Callable[[Row], bool]]]] = {
    "killed_plain": [
        ("loses no plain request when a worker is killed", lambda seen: not seen["failed"]),
        (f"uses a worker again within {RECOVERED_S:g} s of its start", recovered),
    ],
    "killed_streams": [("ends a cut stream as an error", lambda seen: not looks_whole(seen))],
    "hung": [
        ("leaves no client stuck at a worker that never answers", lambda seen: not seen["stuck"]),
        ("loses no plain request at a worker that never answers", lambda seen: not seen["failed"]),
    ],
    "frozen": [
        ("leaves no stream stuck at a worker that stops", lambda seen: not seen["stuck"]),
        (f"ends what a stopped worker had within {PATIENCE_S:g} s", lambda seen: seen["longest_s"] < PATIENCE_S),
        ("ends a stopped worker's stream as an error", lambda seen: not looks_whole(seen)),
    ],
    "failing_503": [
        ("sends a worker that answers 503 no more than its even share", lambda seen: seen["share"] <= EVEN_SHARE),
        ("loses no plain request to a worker that answers 503", lambda seen: not seen["failed"]),
    ],
    "failing_500": [
        ("sends a worker that answers 500 no more than its even share", lambda seen: seen["share"] <= EVEN_SHARE)
    ],
    "failing_429": [
        ("sends a worker that answers 429 no more than its even share", lambda seen: seen["share"] <= EVEN_SHARE)
    ],
    "slow": [("loses no stream to a worker that is slow to start", lambda seen: not seen["failed"])],
    "abandoned": [
        ("stops the generation of a client that hangs up", lambda seen: seen["aborted"] == seen["abandoned"] > 0)
    ],
    "terminated": [
        ("finishes its streams on SIGTERM and ends", lambda seen: not seen["failed"] and seen["exit_s"] is not None)
    ],
    "limited": [
        ("keeps its limit on requests in flight", lambda seen: 0 < seen["peak"] <= LIMIT),
        ("refuses with 429 or 503 beyond it", lambda seen: set(seen["failed"]) <= {"status 429", "status 503"}),
    ],
}


def targets(rows: list[Row]) -> list[Promise]:
    """Each promise about ours in the faults that were tried."""
    return [
        holds(f"{row['router']} {promise}", "error" not in row and kept(row))
        for row in rows
        if split(row["router"])[0] == OURS
        for promise, kept in CHECKS.get(row["fault"], [])
    ]


def failures(seen: Row) -> str:
    return ", ".join(f"{count} {how}" for how, count in seen["failed"].items()) or "none"


def in_words(row: Row) -> str:
    """What was seen of one router in one fault."""
    if "error" in row:
        return str(row["error"])
    match row["fault"]:
        case "killed_plain":
            back = row["recovery_s"]
            traffic = f"traffic again after {back:.1f} s" if back is not None else f"none again in {RECOVERY_S:g} s"
            return f"failed of {row['sent']}: {failures(row)}; {traffic}"
        case "hung" | "frozen":
            return (
                f"{row['answered']} ok, {row['stuck']} stuck; failed: {failures(row)}; longest {row['longest_s']:.1f} s"
            )
        case "slow":
            tail = f"TTFT p50 {row['ttft_p50_s']:.2f} s, p99 {row['ttft_p99_s']:.2f} s"
            return f"{row['share']:.0%} of requests there; {tail}; failed: {failures(row)}"
        case "abandoned":
            return f"{row['aborted']} of {row['abandoned']} stopped at the workers"
        case "terminated":
            end = f"ends after {row['exit_s']:.1f} s" if row["exit_s"] is not None else "does not end in 10 s"
            return f"{row['finished']} of 8 finish, {end}; failed: {failures(row)}"
        case "limited":
            return f"{row['peak']} in flight; of {row['sent']} {row['answered']} ok; failed: {failures(row)}"
        case "killed_streams":
            return f"failed of {row['sent']}: {failures(row)}"
    return f"failed of {row['sent']}: {failures(row)}; {row['tries']} tries there, {row['share']:.0%} of all"


def fault_table(rows: list[Row], names: list[str]) -> Table:
    table = Table(title="faults", title_justify="left", show_lines=True)
    table.add_column("fault")
    for name in names:
        table.add_column(name)
    for fault in dict.fromkeys(row["fault"] for row in rows):
        seen = {row["router"]: in_words(row) for row in rows if row["fault"] == fault}
        table.add_row(f"{fault}: {CASES[fault].__doc__}", *(seen[name] for name in names))
    return table


def survey(names: list[str], faults: list[str], say: Console) -> list[Row]:
    rows: list[Row] = []
    for fault in faults:
        for name in names:
            say.print(f"{fault}: {name}")
            try:
                seen = CASES[fault](name)
            except (BenchError, OSError) as error:
                seen = {"error": str(error)}
            rows.append({"fault": fault, "router": name, **seen})
    return rows


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(CASES)}; all by default.")] = None,
    routers: Annotated[str, typer.Option(help="Which, separated by commas.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 when ours breaks a promise.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Killed, hung, frozen, failing and slow workers; clients that hang up; SIGTERM; the limit on what is in flight."""
    say = Console(stderr=True)
    if unknown := set(parts or ()) - set(CASES):
        say.print(f"unknown fault {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
        raise typer.Exit(2)
    missing: list[Row] = []
    try:
        names = present(routers.split(",") if routers else CONTESTANTS, missing)
    except BenchError as error:
        say.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    rows = survey(names, [fault for fault in CASES if fault in (parts or CASES)], say)
    promises = targets(rows)
    result: Row = {"rows": rows, "missing": missing, "targets": {promise.what: promise.held for promise in promises}}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        console = Console(width=160)
        console.print(fault_table(rows, names))
        for row in missing:
            console.print(f"{row['router']}: {row['error']}")
    missed = conclude(promises, quiet=as_json)
    raise typer.Exit(missed if check else 0)


if __name__ == "__main__":
    typer.run(main)
