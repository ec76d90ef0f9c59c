"""`shadowprice route` as a process of its own, or several, and what its dashboard says."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp


@asynccontextmanager
async def router(*flags: str, **environment: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """The router as a process; where it serves, and where its dashboard is."""
    command = [sys.executable, "-m", "shadowprice.cli", "route", "--port", "0", "--prometheus-port", "0", *flags]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=PIPE, env=os.environ | environment, start_new_session=True
    )
    assert process.stderr is not None
    try:
        found: list[str] = []
        async with asyncio.timeout(60):
            while len(found) < 2:
                line = (await process.stderr.readline()).decode()
                assert line, "the router ended"
                found += re.findall(r"(?:serving|dashboard) +(http://[0-9.:]+)", line)
        yield process, found[0], found[1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # all that write to it
        await process.stderr.read()
        await process.wait()


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(60):
        while True:
            found = await condition()
            if found:
                return found
            await asyncio.sleep(0.1)


async def stats(session: aiohttp.ClientSession, dashboard: str) -> dict[str, Any]:
    async with session.get(f"{dashboard}/stats") as response:
        return json.loads(await response.read())
