"""How many calls a request, or a streamed token, costs the router: counts, which no other program disturbs.

    .venv/bin/python benchmarks/router_calls.py                     all cases
    .venv/bin/python benchmarks/router_calls.py small --top 30      one, with the functions that are called most

The router serves in this process, behind it the mock workers of `router_cost.py`, before it the load generator. After a
warm-up every call that its thread makes is counted, of Python functions and of functions in C, by name.
"""

import asyncio
import sys
from collections import Counter
from types import FrameType
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from router.programs import load, mock_workers
from router_cost import CASES, STEP_US, WORKERS, Case

from shadowprice.router.server import Server
from shadowprice.router.settings import Settings

WARM_UP, REQUESTS = 200, 1000
COUNTED = [name for name, case in CASES.items() if not case.latency]


class Calls:
    """Calls by name while it counts."""

    def __init__(self) -> None:
        self.python: Counter[str] = Counter()
        self.c: Counter[str] = Counter()

    def seen(self, frame: FrameType, event: str, argument: Any) -> None:
        """For sys.setprofile."""
        if event == "call":
            self.python[f"{frame.f_code.co_filename.rpartition('shadowprice/')[2]}:{frame.f_code.co_qualname}"] += 1
        elif event == "c_call":
            self.c[argument.__qualname__] += 1


async def count(case: Case, urls: list[str], policy: str) -> tuple[Calls, int]:
    """The calls, and what they are divided by: requests, or tokens."""
    server = Server(Settings(worker_urls=tuple(urls), policy=policy, port=0, prometheus_port=0, shadow=False))
    calls = Calls()
    try:
        await server.start()
        while not all(worker.state == "up" for worker in server.router.fleet.workers):
            await asyncio.sleep(0.05)
        await asyncio.to_thread(load, server.port, requests=WARM_UP, **case.load)
        sys.setprofile(calls.seen)
        done = await asyncio.to_thread(load, server.port, requests=REQUESTS, **case.load)
        sys.setprofile(None)
    finally:
        await server.stop()
    return calls, done["tokens"] if case.per_token else done["complete"]


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(COUNTED)}; all by default.")] = None,
    policy: Annotated[str, typer.Option(help="Routing policy.")] = "bf_io",
    top: Annotated[int, typer.Option(min=0, help="Show so many functions of each case.")] = 0,
) -> None:
    """Calls per request or per token on the router's way of a request."""
    console = Console(width=130)
    table = Table(title="calls by the router's thread", title_justify="left")
    for column in ("case", "per", "Python", "C"):
        table.add_column(column, justify="right" if column in ("Python", "C") else "left")
    for name in parts or COUNTED:
        case = CASES[name]
        pace = {"mode": "steps", "step_us": STEP_US} if case.paced else {"mode": "instant"}
        with mock_workers(WORKERS, **pace) as urls:
            calls, number = uvloop.run(count(case, urls, policy))
        table.add_row(
            name,
            "token" if case.per_token else "request",
            f"{calls.python.total() / number:.2f}",
            f"{calls.c.total() / number:.2f}",
        )
        for kind in (calls.python, calls.c) if top else ():
            for function, times in kind.most_common(top):
                console.print(f"{name:8} {times / number:7.2f}  {function}", highlight=False)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
