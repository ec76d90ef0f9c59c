"""A router at full rate for half an hour, its workers killed, started again, hung, frozen and overloaded at random.

    .venv/bin/python benchmarks/router_soak.py                    30 minutes, ours
    .venv/bin/python benchmarks/router_soak.py --minutes 2 --routers 'vllm-router round_robin' --json

Four worker processes give a token every 5 ms. Four kinds of clients run in closed loops: plain requests, short and long
streams, and clients that hang up after five tokens. Every request sent is accounted for: answered whole, refused with
429 or 503, visibly cut (a broken connection or an error event, never [DONE]), or hung up on purpose. All else is lost:
a plain request without an answer, another status, a stream that looks whole and is not, a client that waited a minute.
Exit code 1 when something is lost, the router ends by itself, or its memory is not flat: the median of the last quarter
may exceed that of the second by a tenth and 8 MiB.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from router.contestants import OURS, Running, present, router, split
from router.fault_cases import PROGRESS_TIMEOUT_S
from router.programs import BenchError, Row, cpu_s, load, resident_bytes
from router.separate import Separate, separate_workers

WORKERS, STEP_US = 4, 5000
CLIENT_TIMEOUT_S = 60.0
WINDOW_S = 15.0  # a load generator's life; the next one starts when it has all its answers
TRAFFIC: dict[str, dict[str, Any]] = {
    "plain": {"connections": 64},
    "short streams": {"connections": 32, "stream": True, "max_tokens": 50},
    "long streams": {"connections": 64, "stream": True, "max_tokens": 600, "prompt_bytes": 8192},
    "hang up": {"connections": 4, "stream": True, "max_tokens": 400, "abandon_after": 5},
}
REFUSALS = ("429", "503")
SPARED = 2  # workers that are well at any time
GROWTH, SLACK_BYTES = 1.1, 8 * 2**20


def traffic(port: int, kind: str, ends_s: float) -> Counter[str]:
    """Requests of this kind until `ends_s` (monotonic), by how they ended."""
    total: Counter[str] = Counter()
    for seed in range(1_000_000):
        left_s = min(WINDOW_S, ends_s - time.monotonic())
        if left_s <= 0.5:
            return total
        done = load(
            port, seconds=left_s, timeout_s=CLIENT_TIMEOUT_S, drain_s=CLIENT_TIMEOUT_S + 5, seed=seed, **TRAFFIC[kind]
        )
        total += Counter({name: n for name, n in done.items() if isinstance(n, int)})
        total += Counter({f"status {status}": n for status, n in done["by_status"].items()})
    return total


def account(kind: str, total: Counter[str]) -> Row:
    """Where the requests of one kind went; the five numbers sum to `sent`."""
    refused = sum(total[f"status {status}"] for status in REFUSALS)
    streamed = TRAFFIC[kind].get("stream", False)
    cut = total["cut"] + total["error_event"] + total["no_answer"] if streamed else 0
    seen = total["complete"] + refused + cut + total["abandoned"]
    ends = ("short_clean", "error_then_done", "timed_out", "unfinished", *(() if streamed else ("cut", "no_answer")))
    how = {name: total[name] for name in ends if total[name]}
    how |= {name: n for name, n in total.items() if name.startswith("status ") and name.split()[1] not in REFUSALS}
    return {
        "kind": kind,
        "sent": total["sent"],
        "answered": total["complete"],
        "refused": refused,
        "cut": cut,
        "hung_up": total["abandoned"],
        "lost": total["sent"] - seen,
        "lost_how": how,
    }


def kill(fleet: Separate, index: int) -> Callable[[], None]:
    fleet.kill(index)
    return lambda: fleet.restart(index)


def freeze(fleet: Separate, index: int) -> Callable[[], None]:
    fleet.freeze(index)
    return lambda: fleet.thaw(index)


def order(what: str) -> Callable[[Separate, int], Callable[[], None]]:
    def fault(fleet: Separate, index: int) -> Callable[[], None]:
        fleet.order(index, what)
        return lambda: fleet.order(index, "healthy")

    return fault


FAULTS = {"kill": kill, "freeze": freeze, "hang": order("hang"), "503": order("503"), "slow": order("slow/500")}


def torment(fleet: Separate, ends_s: float, rng: random.Random) -> Counter[str]:
    """Faults at random workers, each for some seconds, until `ends_s`, when all are well again. How many of each."""
    done: Counter[str] = Counter()
    ill: dict[int, tuple[float, Callable[[], None]]] = {}
    next_s = time.monotonic() + 2
    while time.monotonic() < ends_s - 10:  # the last seconds are quiet, so that everything can end
        now_s = time.monotonic()
        for index in [index for index, (well_s, _) in ill.items() if well_s <= now_s]:
            ill.pop(index)[1]()
        if now_s >= next_s and len(ill) < WORKERS - SPARED:
            index = rng.choice([one for one in range(WORKERS) if one not in ill])
            name = rng.choice(list(FAULTS))
            ill[index] = (now_s + rng.uniform(1, 8), FAULTS[name](fleet, index))
            done[name] += 1
            next_s = now_s + rng.expovariate(1 / 4)
        time.sleep(0.05)
    for _, heal in ill.values():
        heal()
    return done


def watch(front: Running, ends_s: float, say: Console) -> list[int]:
    """Resident bytes of the router, once a second. Stops early when the router ends."""
    began_s, samples = time.monotonic(), []
    with Progress(console=say, transient=True) as progress:
        bar = progress.add_task(front.name, total=ends_s - began_s)
        while time.monotonic() < ends_s and front.process.poll() is None:
            samples.append(resident_bytes(front.pid))
            progress.update(bar, completed=time.monotonic() - began_s)
            time.sleep(1)
    return samples


def growth(samples: list[int]) -> tuple[int, int]:
    """Median of the second and of the last quarter of the samples."""
    quarter = max(1, len(samples) // 4)
    return int(median(samples[quarter : 2 * quarter])), int(median(samples[-quarter:]))


def soak(name: str, seconds: float, seed: int, say: Console) -> Row:
    """One router's soak: its accounts, the faults, its memory."""
    own = {"progress_timeout_secs": PROGRESS_TIMEOUT_S} if split(name)[0] == OURS else {}
    with separate_workers(WORKERS, mode="steps", step_us=STEP_US) as fleet, router(name, fleet.urls, **own) as front:
        began_s = time.monotonic()
        ends_s = began_s + seconds
        with ThreadPoolExecutor(len(TRAFFIC) + 1) as threads:
            clients = {kind: threads.submit(traffic, front.port, kind, ends_s) for kind in TRAFFIC}
            faults = threads.submit(torment, fleet, ends_s, random.Random(seed))
            samples = watch(front, ends_s, say)
            accounts = [account(kind, future.result()) for kind, future in clients.items()]
        exit_code = front.process.poll()
        used_s = cpu_s(front.pid) if exit_code is None else 0.0
        early, late = growth(samples)
        return {
            "router": name,
            "seconds": time.monotonic() - began_s,
            "cpu_s": used_s,
            "accounts": accounts,
            "faults": dict(faults.result()),
            "early_bytes": early,
            "late_bytes": late,
            "peak_bytes": max(samples),
            "exit_code": exit_code,
        }


def verdict(row: Row) -> dict[str, bool]:
    """What must hold, and whether it did."""
    lost = sum(account["lost"] for account in row["accounts"])
    return {
        "every request is answered, refused or visibly cut": lost == 0,
        "memory is flat": row["late_bytes"] <= GROWTH * row["early_bytes"] + SLACK_BYTES,
        "the router is still running": row["exit_code"] is None,
    }


def print_row(row: Row, console: Console) -> None:
    faults = ", ".join(f"{count} {name}" for name, count in row["faults"].items())
    console.print(f"{row['router']}: {row['seconds']:.0f} s, {row['cpu_s']:.0f} s of CPU; faults: {faults}")
    for one in row["accounts"]:
        console.print(
            f"  {one['kind']:14} sent {one['sent']:,} = answered {one['answered']:,} + refused {one['refused']:,} + "
            f"cut {one['cut']:,} + hung up {one['hung_up']:,} + lost {one['lost']:,} {one['lost_how'] or ''}"
        )
    sizes = [f"{row[key] / 2**20:.1f}" for key in ("early_bytes", "late_bytes", "peak_bytes")]
    console.print(f"  memory {sizes[0]} MiB in the second quarter, {sizes[1]} in the last, {sizes[2]} at most")
    for promise, held in verdict(row).items():
        console.print(f"  {'[green]held  [/green]' if held else '[red]missed[/red]'} {promise}")


def main(
    minutes: Annotated[float, typer.Option(min=0.25, help="How long.")] = 30,
    routers: Annotated[
        str, typer.Option(help="Which, separated by commas, one after the other.")
    ] = "ours bf_io+shadow",
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Traffic at full rate under random faults: nothing lost, memory flat, or exit code 1."""
    say = Console(stderr=True)
    missing: list[Row] = []
    try:
        rows = [soak(name, 60 * minutes, seed, say) for name in present(routers.split(","), missing)]
    except BenchError as error:
        say.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps({"rows": [row | {"held": verdict(row)} for row in rows], "missing": missing}, indent=2))
    else:
        for row in rows:
            print_row(row, Console(width=130))
        for row in missing:
            print(f"{row['router']}: {row['error']}")
    if not all(all(verdict(row).values()) for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
