"""The router and workers in the event loop of a test."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from shadowprice.router.server import Server
from shadowprice.router.settings import Settings


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """The URL of a worker."""
    runner = web.AppRunner(app)
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
    server = Server(Settings(worker_urls=urls, port=0, prometheus_port=0, **usual | settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        gc.unfreeze()  # the router froze what was loaded, of the tests too


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so; TimeoutError if it never is."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Within two minutes: the first decision ever compiles."""
    asyncio.run(asyncio.wait_for(test, 120))
