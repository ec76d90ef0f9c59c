"""Workers of any kind, and a router before them that need not be ready yet, in the event loop of a test."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from shadowprice.router.server import Server
from shadowprice.router.settings import Settings


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """The URL of a worker."""
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def routing(*urls: str, **settings: Any) -> AsyncIterator[Server]:
    """A router before these workers, on ports of its own, that looks after them often."""
    usual = {"policy": "round_robin", "shadow": False, "health_check_interval_s": 0.05, "metrics_interval_s": 0.1}
    usual |= {"wait_for_kernels": True}
    server = Server(Settings(worker_urls=urls, port=0, prometheus_port=0, **usual | settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        gc.unfreeze()  # the router froze what was loaded, of the tests too
