"""The router as a process: until a signal ends it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.processes.messages import Joining
from shadowprice.router.server import Server
from shadowprice.router.settings import Settings
from shadowprice.router.terminal import greet


async def serve(server: Server, *, alone: bool) -> None:
    """Route until told to end, then drain; told a second time it ends at once. alone: by SIGTERM or SIGINT."""
    try:
        await server.start()
        if alone:
            for signum in (signal.SIGTERM, signal.SIGINT):
                server.loop.add_signal_handler(signum, server.stopping.release)
            greet(server.greeting())
        await server.stopping.acquire()
        drained, second = server.loop.create_task(server.drain()), server.loop.create_task(server.stopping.acquire())
        await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        second.cancel()
    finally:
        await server.stop()


def run(settings: Settings) -> None:
    """Run the router as this process."""

    async def main() -> None:
        await serve(Server(settings, further=run_further), alone=True)

    _run_loop(main())


def run_further(settings: Settings, flights: Flights, joining: Joining) -> None:
    """Run a further process of a router; see `processes/first.py`."""

    async def main() -> None:
        await serve(Server(settings, flights=flights, joining=joining), alone=False)

    _run_loop(main())


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(main)
    else:
        uvloop.run(main)
