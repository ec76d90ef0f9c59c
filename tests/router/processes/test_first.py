"""Several processes of one router, for real: they answer on one port, know each other's load, and come back."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from shadowprice.workload import read_trace
from tests.router.in_loop import listening
from tests.router.live import run
from tests.router.own_process import router, stats, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs SO_REUSEPORT as Linux has it")
BODY = {"model": "m", "prompt": "x" * 5000, "max_tokens": 8}  # two blocks of a prefix, and some
SLOTS = 8


class SlowWorker:
    """A worker that answers once it may."""

    def __init__(self) -> None:
        self.held = self.most = 0
        self.may_answer = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/v1/completions", self._complete), web.get("/health", self._health)])
        return app

    async def _complete(self, request: web.Request) -> web.Response:
        self.held += 1
        self.most = max(self.most, self.held)
        await self.may_answer.wait()
        await asyncio.sleep(0.01)
        self.held -= 1
        usage = {"prompt_tokens": 1100, "completion_tokens": 8}
        return web.json_response({"choices": [{"text": "y"}], "usage": usage})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()


async def ask(url: str) -> int:
    connector = aiohttp.TCPConnector(force_close=True)  # a connection each: the kernel deals them out
    async with (
        aiohttp.ClientSession(connector=connector) as own,
        own.post(f"{url}/v1/completions", json=BODY) as response,
    ):
        return response.status


async def everything(record: Path) -> None:
    one, two, three = SlowWorker(), SlowWorker(), SlowWorker()
    flags = (
        "--wait-for-kernels",
        "--processes",
        "2",
        "--max-num-seqs",
        str(SLOTS),
        "--no-shadow",
        "--record",
        str(record),
    )
    async with (
        listening(one.app()) as first_url,
        listening(two.app()) as second_url,
        listening(three.app()) as third_url,
        aiohttp.ClientSession() as session,
        router("--worker-urls", first_url, second_url, *flags) as (process, url, dashboard),
    ):

        async def both() -> list[int]:
            processes = (await stats(session, dashboard))["processes"]
            return [p["pid"] for p in processes] if len(processes) == 2 else []

        async def loads() -> dict[str, int]:
            workers = (await stats(session, dashboard))["workers"]
            return {worker["name"]: worker["running"] + worker["waiting"] for worker in workers}

        async def all_placed() -> bool:
            return one.held + two.held == len(asked)

        async def third_is_full() -> bool:
            return three.held == SLOTS

        async def first_is_gone() -> bool:
            return first_url not in await loads()

        async def the_rest_waits() -> bool:
            now = await stats(session, dashboard)
            return bool(now["queue"]["requests"] == 8 and all(p["in_flight"] for p in now["processes"]))

        async def counted() -> bool:
            now = await stats(session, dashboard)
            return bool(now["responses_total"]["2xx"] == 24)

        async def another() -> bool:
            pids = await both()
            return bool(pids) and second not in pids

        first, second = await until(both)
        assert first == process.pid
        asked: list[asyncio.Task[int]] = []
        for _ in range(2 * SLOTS):  # whichever process the kernel gives it to, it goes where fewer are
            asked.append(asyncio.create_task(ask(url)))
            await until(all_placed)
            assert abs(one.held - two.held) <= 1
        asked += [asyncio.create_task(ask(url)) for _ in range(8)]
        await until(the_rest_waits)  # whichever process has it: none has room, for the slots that all took are full
        assert (one.held, two.held) == (SLOTS, SLOTS)
        assert await loads() == {first_url: SLOTS, second_url: SLOTS}
        async with session.post(f"{dashboard}/workers", json={"url": third_url}) as answer:
            assert answer.status == 201
        await until(third_is_full)
        assert await loads() == {first_url: SLOTS, second_url: SLOTS, third_url: SLOTS}
        async with session.delete(f"{dashboard}/workers/{first_url}") as answer:  # once its requests are answered
            assert answer.status == 200
        one.may_answer.set()
        await until(first_is_gone)
        assert await loads() == {second_url: SLOTS, third_url: SLOTS}
        two.may_answer.set(), three.may_answer.set()
        assert await asyncio.gather(*asked) == [200] * 24
        await until(counted)
        os.kill(second, signal.SIGKILL)
        await until(another)
        assert await asyncio.gather(*(ask(url) for _ in range(64))) == [200] * 64
        assert max(worker.most for worker in (one, two, three)) == SLOTS
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def ends_in_order(second_signal: bool) -> None:
    """Ctrl-C reaches all processes; what runs in each of them is finished, unless it comes again."""
    worker = SlowWorker()
    flags = ("--wait-for-kernels", "--processes", "2", "--no-shadow", "--policy", "bf_io", "--prefill-kv-tokens", "1")
    async with (
        listening(worker.app()) as worker_url,
        aiohttp.ClientSession() as session,
        router("--worker-urls", worker_url, *flags) as (process, url, dashboard),
    ):

        async def serving() -> list[int]:
            processes = (await stats(session, dashboard))["processes"]
            return [p["pid"] for p in processes] if len(processes) == 2 else []

        async def another() -> bool:
            pids = await serving()
            return bool(pids) and second not in pids

        async def both_have_some() -> bool:
            return all(p["in_flight"] for p in (await stats(session, dashboard))["processes"])

        _, second = await until(serving)
        async with session.put(f"{dashboard}/policy", json={"policy": "round_robin"}) as answer:
            assert answer.status == 200
        os.kill(second, signal.SIGKILL)
        await until(another)  # with the policy that is, which --prefill-kv-tokens would not go with at the start
        asked = [asyncio.create_task(ask(url)) for _ in range(16)]
        await until(both_have_some)
        os.killpg(process.pid, signal.SIGINT)
        if second_signal:
            await asyncio.sleep(1.0)
            os.killpg(process.pid, signal.SIGINT)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(one, aiohttp.ClientError) for one in answers)
        else:
            await asyncio.sleep(1.0)
            assert not any(task.done() for task in asked)
            worker.may_answer.set()
            assert await asyncio.gather(*asked) == [200] * 16
        assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.mark.parametrize("second_signal", [False, True])
def test_ctrl_c_lets_all_processes_finish_and_a_second_one_does_not(second_signal: bool) -> None:
    run(ends_in_order(second_signal))


def test_two_processes_share_the_load_that_they_made(tmp_path: Path) -> None:
    record = tmp_path / "live.parquet"
    run(everything(record))
    trace = read_trace(record)
    assert 64 <= len(trace) <= 88  # the killed one took what it had not told with it
    assert trace.prefix is not None and set(np.diff(trace.prefix.offsets)) == {2}  # of both processes
