"""The router as a process: until a signal ends it."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.router.flight import Flights
from shadowprice.router.server import Server
from shadowprice.router.settings import Settings


async def serve(settings: Settings, flights: Flights | None = None, first: Connection | None = None) -> None:
    """Route until SIGTERM or SIGINT, then drain; a second signal ends it at once."""
    server = Server(settings, flights, first)
    try:
        await server.start()
        for signum in (signal.SIGTERM, signal.SIGINT):
            server.loop.add_signal_handler(signum, server.stopping.set)
        if first is None:
            _greet(server)
        await server.stopping.wait()
        server.stopping.clear()
        drained, second = server.loop.create_task(server.drain()), server.loop.create_task(server.stopping.wait())
        await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        second.cancel()
    finally:
        await server.stop()


def _greet(server: Server) -> None:
    settings = server.settings
    scheme = "http" if settings.ssl_certfile is None else "https"
    lines = [
        f"serving    {scheme}://{settings.host}:{server.port}, {len(server.router.workers)} workers, "
        f"policy {server.router.dispatcher.policy.name}"
        + (f", {settings.processes} processes" if settings.processes > 1 else ""),
        f"dashboard  http://{settings.prometheus_host}:{server.admin_port}/ (metrics: /metrics)",
    ]
    if len(server.router.workers) > 1:
        together = "together, as data-parallel ranks with experts do (if each by itself: --no-lockstep)"
        lines.append(f"workers    step {together if settings.lockstep else 'each by itself'}")
    if server.recorder is not None:
        lines += [f"recording  {settings.record}", *server.recorder.notes]
    if not server.router.workers:
        lines.append("no worker yet: add one with POST /workers on the dashboard's port, or in --worker-file")
    print("\n".join(lines), file=sys.stderr, flush=True)


def run(settings: Settings) -> None:
    """Run the router as this process."""
    _run_loop(serve(settings))


def run_member(settings: Settings, blocks: npt.NDArray[np.int64], own: int, first: Connection) -> None:
    """Run a further process of a router; see `family.py`."""
    _run_loop(serve(settings, Flights(blocks, own), first))


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(main)
    else:
        uvloop.run(main)
