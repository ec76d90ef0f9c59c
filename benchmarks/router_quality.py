"""How evenly a router loads workers that step together, ours beside the peers, on a real trace at speed.

    .venv/bin/python benchmarks/router_quality.py                     both regimes, about a quarter of an hour
    .venv/bin/python benchmarks/router_quality.py slots --seconds 20 --routers 'ours bf_io,smg least_load'

Eight mock workers of 64 slots step together; a step takes STEP.fixed_s + STEP.per_kv_token_s * (KV tokens of the
fullest), as the barrier of data-parallel ranks makes it. They serve the first minutes of the Azure 2023 chat trace.
So that enough requests pass in half a minute, prompts and outputs are half as long (a request then holds half the KV
tokens for half the steps; the shape of both distributions stays), and arrivals are compressed to the load that is
wanted: with all slots taken, 16,000 tokens a second go through the router. Load 1 is the rate that order of arrival
sustains with all slots taken, least KV first, as the barrier simulator finds it.

    load90   load 0.9: a request goes to a worker when it arrives
    slots    load 1.3: slots bind and a queue grows; the peers' waits at the workers, ours in the router

idle: share of worker time spent waiting for the fullest, (max - load) / max weighted by the steps' nominal time, which
a busy machine does not change. It and the throughput are taken over the steady part: from a third of the arrivals to
the last. Latencies are of requests that arrive in it. All processes run before ordinary ones where the system allows
it (real-time priority, which needs root). What other programs do to a run all the same is printed beside it: how much
longer than nominal the workers' steps took (late), and for what share of the time the router waited for its core
(starved); latencies mean little where either is more than a few percent.
"""

import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from chat_trace import chat_trace
from promises import Promise, at_most, conclude
from rich.console import Console
from rich.table import Table
from router.contestants import OURS, present, router, split
from router.placement import cores, run_first
from router.programs import (
    BenchError,
    Row,
    finished_load,
    get,
    mock_workers,
    start_load,
    stats,
    threads_s,
    waited_s,
)

from shadowprice.errors import TraceError
from shadowprice.fleet.step_time import StepTime
from shadowprice.simulate.routing_study import Setting, at_load
from shadowprice.workload import Trace

WORKERS, SLOTS = 8, 64
SHORTER = 2  # how many times shorter than in the trace prompts and outputs are
STEP = StepTime(0.006, 0.0, 0.6e-6, 0.0)  # about 30 ms with all slots taken
REGIMES = {"load90": 0.9, "slots": 1.3}
STEADY_FROM = 1 / 3  # of the time of the arrivals
CONTESTANTS = (
    "vllm-router round_robin",
    "vllm-router power_of_two",
    "vllm-router cache_aware",
    "sglang-router cache_aware",
    "ours round_robin",
    "ours bf_io",
    "ours priced_holes",
)
MOST_IDLE = {"load90": 0.6, "slots": 1 / 3}  # ours as a share of the best peer's
CHECKED = "ours bf_io"


def shortened(trace: Trace) -> Trace:
    """The trace with prompts and outputs SHORTER times shorter, rounded up, one copy of it."""
    return replace(
        trace,
        prompt_tokens=-(-trace.prompt_tokens // SHORTER),
        output_tokens=-(-trace.output_tokens // SHORTER),
    )


def arrivals(load: float, seconds: float, whole: Trace) -> Trace:
    """Requests from the head of the whole trace, about as many as arrive in `seconds` at this load of theirs."""
    setting = Setting(load=load, step_time=STEP)
    rate = at_load(whole, WORKERS, SLOTS, setting).rate_per_s
    head = whole.take(np.arange(min(len(whole), math.ceil(rate * seconds))))
    fast = at_load(head, WORKERS, SLOTS, setting)  # the head's lengths are not quite those of the whole
    return replace(fast, arrival_s=fast.arrival_s - fast.arrival_s[0])


def write_replay(trace: Trace, path: Path) -> None:
    columns = zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True)
    path.write_text("".join(f"{at:.6f},{prompt},{output}\n" for at, prompt, output in columns))


def serve(name: str, replay: Path, seconds: float) -> Row:
    """One run: the router before fresh workers, the whole replay, whose arrivals take `seconds`.

    Raises BenchError when a request is not answered whole.
    """
    front, back = cores()
    pace = {"slots": SLOTS, "mode": "lockstep", "step_us": STEP.fixed_s * 1e6, "kv_token_us": STEP.per_kv_token_s * 1e6}
    own = {"max_num_seqs": SLOTS} if split(name)[0] == OURS else {}
    with mock_workers(WORKERS, back, **pace) as urls, router(name, urls, front, **own) as running:
        warmup_s = seconds * STEADY_FROM
        load = start_load(running.port, back, replay=replay, stream=True, warmup_s=warmup_s, drain_s=120)
        time.sleep(warmup_s)
        get(urls[0] + "/ctl/reset")
        threads = threads_s(running.pid)
        before, began = sum(stats(url)["tokens"] for url in urls), time.monotonic()
        time.sleep(seconds - warmup_s)
        clock = stats(urls[0])
        tokens, took_s = sum(stats(url)["tokens"] for url in urls) - before, time.monotonic() - began
        starved = waited_s(running.pid, threads) / took_s
        done = finished_load(load)
    if done["complete"] < done["sent"] or done["unsent"]:
        raise BenchError(
            f"{name}: {done['complete']} of {done['sent'] + done['unsent']} requests answered whole: {done}"
        )
    return {
        "router": name,
        "idle_share": clock["idle_share"],
        "imbalance_tokens": clock["imbalance_tokens"],
        "throughput_tok_s": tokens / took_s,
        "slowdown": clock["actual_s"] / clock["nominal_s"],
        "starved": starved,
        "requests": done["sent"],
        "makespan_s": done["seconds"],
        **{f"{part}_{at}_s": done[f"{part}_ms"][at] / 1e3 for part in ("e2e", "ttft", "tpot") for at in ("p50", "p99")},
    }


def targets(rows: list[Row]) -> list[Promise]:
    """Each number that we promise; nothing is promised where ours is missing, or all peers."""
    found = []
    for regime, most in MOST_IDLE.items():
        ours = next((r for r in rows if r["regime"] == regime and r["router"] == CHECKED), None)
        peers = [r for r in rows if r["regime"] == regime and split(r["router"])[0] != OURS]
        if ours and peers:
            idle, p99_s = min(r["idle_share"] for r in peers), min(r["e2e_p99_s"] for r in peers)
            what = f"{regime}: idle share of {CHECKED} by the best peer's"
            found.append(at_most(what, ours["idle_share"] / idle, most))
            found.append(at_most(f"{regime}: its p99 latency by the best peer's", ours["e2e_p99_s"] / p99_s, 1.0))
    return found


def quality_table(rows: list[Row], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("router, its policy", no_wrap=True)
    for heading in (
        "idle",
        "tokens/s",
        "p50",
        "p99 [s]",
        "TTFT p50",
        "p99 [s]",
        "TPOT p50",
        "p99 [ms]",
        "late",
        "starved",
    ):
        table.add_column(heading, justify="right")
    for r in rows:
        seconds = [f"{r[key]:.2f}" for key in ("e2e_p50_s", "e2e_p99_s", "ttft_p50_s", "ttft_p99_s")]
        tpot = [f"{1e3 * r[key]:.0f}" for key in ("tpot_p50_s", "tpot_p99_s")]
        table.add_row(
            r["router"],
            f"{r['idle_share']:.1%}",
            f"{r['throughput_tok_s']:,.0f}",
            *seconds,
            *tpot,
            f"{r['slowdown'] - 1:.1%}",
            f"{r['starved']:.1%}",
        )
    return table


def print_result(result: Row, console: Console) -> None:
    for regime, load in REGIMES.items():
        rows = [row for row in result["rows"] if row["regime"] == regime]
        if rows:
            size = f"{rows[0]['requests']:,} requests, {WORKERS} workers of {SLOTS} slots in lockstep"
            title = f"{regime}: load {load}, {size}"
            console.print(quality_table(rows, title))
    for row in result["missing"]:
        console.print(f"{row['router']}: {row['error']}")


def compare(names: list[str], regimes: list[str], seconds: float, whole: Trace, say: Console) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for regime in regimes:
            replay = Path(folder) / f"{regime}.csv"
            trace = arrivals(REGIMES[regime], seconds, whole)
            write_replay(trace, replay)
            for name in names:
                say.print(f"{regime}: {name}")
                rows.append({"regime": regime, **serve(name, replay, trace.span_s)})
    return rows


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(REGIMES)}; all by default.")] = None,
    seconds: Annotated[float, typer.Option(min=3, help="How long requests arrive in a run.")] = 30,
    routers: Annotated[str, typer.Option(help="Which, separated by commas.")] = "",
    trace: Annotated[str, typer.Option(help="Another trace than Azure's of 2023: a file or a public one.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 when a target is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Idle share, latency and throughput of eight lockstep workers behind each router's policies."""
    say = Console(stderr=True)
    if unknown := set(parts or ()) - set(REGIMES):
        say.print(f"unknown regime {', '.join(sorted(unknown))}; expected {', '.join(REGIMES)}")
        raise typer.Exit(2)
    result: Row = {"rows": [], "missing": [], "ran_first": run_first()}
    try:
        names = present(routers.split(",") if routers else CONTESTANTS, result["missing"])
        regimes = [name for name in REGIMES if name in (parts or REGIMES)]
        result["rows"] = compare(names, regimes, seconds, shortened(chat_trace(trace)), say)
    except (BenchError, TraceError) as error:
        say.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    promises = targets(result["rows"])
    result["targets"] = {promise.what: promise.held for promise in promises}
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result, Console(width=130))
    alone = at_most(f"idle share of {CHECKED} by the best peer's", f"needs {CHECKED} and a peer", 1.0)
    missed = conclude(promises or [alone], quiet=as_json)
    raise typer.Exit(missed if check else 0)


if __name__ == "__main__":
    typer.run(main)
