"""The router as a process: until a signal ends it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.processes.further import First
from shadowprice.router.server import Server
from shadowprice.router.settings import Settings
from shadowprice.router.terminal import greet


async def serve(settings: Settings, flights: Flights | None = None, first: First | None = None) -> None:
    """Route until SIGTERM or SIGINT, then drain; a second signal ends it at once."""
    server = Server(settings, flights, first)
    try:
        await server.start()
        if first is None:
            for signum in (signal.SIGTERM, signal.SIGINT):
                server.loop.add_signal_handler(signum, server.stopping.release)
            greet(server)
        await server.stopping.acquire()
        drained, second = server.loop.create_task(server.drain()), server.loop.create_task(server.stopping.acquire())
        await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        second.cancel()
    finally:
        await server.stop()


def run(settings: Settings) -> None:
    """Run the router as this process."""
    _run_loop(serve(settings))


def run_member(settings: Settings, blocks: npt.NDArray[np.int64], own: int, first: First) -> None:
    """Run a further process of a router; see `processes/first.py`."""
    _run_loop(serve(settings, Flights(blocks, own), first))


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(main)
    else:
        uvloop.run(main)
