"""Several processes of one router, for real: they answer on one port, know each other's load, and come back."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from shadowprice.workload import read_trace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs SO_REUSEPORT as Linux has it")
BODY = {"model": "m", "prompt": "x" * 5000, "max_tokens": 8}  # two blocks of a prefix, and some


@asynccontextmanager
async def slow_worker(answers: asyncio.Event) -> AsyncIterator[str]:
    """A worker that answers once the event is set."""

    async def completions(request: web.Request) -> web.Response:
        await answers.wait()
        usage = {"prompt_tokens": 1100, "completion_tokens": 8}
        return web.json_response({"choices": [{"text": "y"}], "usage": usage})

    async def health(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/completions", completions), web.get("/health", health)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def router(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """The router as a process; where it serves, and where its dashboard is."""
    command = [sys.executable, "-m", "shadowprice.cli", "route", "--port", "0", "--prometheus-port", "0", *flags]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
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
        if process.returncode is None:
            process.kill()
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


async def ask(url: str) -> int:
    connector = aiohttp.TCPConnector(force_close=True)  # a connection each: the kernel deals them out
    async with (
        aiohttp.ClientSession(connector=connector) as own,
        own.post(f"{url}/v1/completions", json=BODY) as response,
    ):
        return response.status


async def everything(record: Path) -> None:
    answers = asyncio.Event()
    flags = ("--processes", "2", "--max-num-seqs", "3", "--no-shadow", "--record", str(record))
    async with (
        slow_worker(answers) as one,
        slow_worker(answers) as two,
        aiohttp.ClientSession() as session,
        router("--worker-urls", one, two, *flags) as (process, url, dashboard),
    ):

        async def both() -> list[int]:
            processes = (await stats(session, dashboard))["processes"]
            return [p["pid"] for p in processes] if len(processes) == 2 else []

        async def full() -> bool:
            now = await stats(session, dashboard)
            taken = [worker["running"] + worker["waiting"] for worker in now["workers"]]
            assert max(taken) <= 4  # a cap of 3, and at most one more per further process
            return sum(taken) >= 6 and all(p["in_flight"] for p in now["processes"]) and now["queue"]["requests"] > 0

        async def counted() -> bool:
            now = await stats(session, dashboard)
            return now["responses_total"]["2xx"] == 16 and sum(w["requests_total"] for w in now["workers"]) == 16

        async def another() -> bool:
            pids = await both()
            return bool(pids) and second not in pids

        first, second = await until(both)
        assert first == process.pid
        asked = [asyncio.create_task(ask(url)) for _ in range(16)]
        await until(full)
        answers.set()
        assert await asyncio.gather(*asked) == [200] * 16
        await until(counted)
        os.kill(second, signal.SIGKILL)
        await until(another)
        assert await asyncio.gather(*(ask(url) for _ in range(16))) == [200] * 16
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def test_two_processes_share_the_load_that_they_made(tmp_path: Path) -> None:
    record = tmp_path / "live.parquet"
    asyncio.run(everything(record))
    trace = read_trace(record)
    assert 16 <= len(trace) <= 32  # the killed one took what it had not told with it
    assert trace.prefix is not None and set(np.diff(trace.prefix.offsets)) == {2}  # of both processes
