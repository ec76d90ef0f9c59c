"""Workers that come and go, a policy that changes, a router that ends: no request is lost by it."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from shadowprice.router.server import Server
from tests.router.live import RawClient, Response, ask, post, routed, run, streamed, until
from tests.router.mixed_worker import answer as mixed
from tests.router.scripted_worker import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    TOKEN,
    Answer,
    Call,
    chunk,
    completion,
    scripted,
    stops_after,
    streams,
)


async def load(server: Server, until_set: asyncio.Event) -> list[Response]:
    """Closed-loop clients, half of them streaming; all their answers."""

    async def one(request: bytes) -> list[Response]:
        got = []
        client = await RawClient.to(server)
        while not until_set.is_set():
            await client.send(request)
            got.append(await client.response())
        return got

    requests = [streamed(), post(b'{"prompt":"a"}')] * 6
    return [response for some in await asyncio.gather(*map(one, requests)) for response in some]


async def quick(call: Call) -> None:
    await (streams(10, gap_s=0.003)(call) if b"stream" in call.body else call.send(completion()))


def all_whole(answers: list[Response]) -> bool:
    return all(one.status == 200 and one.whole for one in answers)


def test_workers_come_and_go_by_the_admin_api_and_by_the_file_under_load(tmp_path: Path) -> None:
    async def work() -> None:
        file = tmp_path / "workers.txt"
        async with scripted(quick) as a, scripted(quick) as b, scripted(quick) as c:
            file.write_text(f"# the third\n{c.url}\n")
            async with routed(a, worker_file=str(file)) as server, aiohttp.ClientSession() as session:
                admin = f"http://127.0.0.1:{server.admin_port}/workers"
                done = asyncio.Event()
                loaded = asyncio.ensure_future(load(server, done))
                await until(lambda: a.calls and c.calls)
                async with session.post(admin, json={"url": b.url}) as response:
                    assert response.status in (200, 201)
                await until(lambda: len(b.calls) > 20)
                async with session.delete(f"{admin}/{a.url}") as response:
                    assert response.status in (200, 202)
                await until(lambda: [worker.name for worker in server.router.fleet.workers] == [c.url, b.url])
                count = len(a.calls)
                file.write_text("")
                await until(lambda: [worker.name for worker in server.router.fleet.workers] == [b.url])
                file.write_text("what is this\n")  # said so, and left as it is
                before = len(b.calls)
                await until(lambda: len(b.calls) > before + 50)
                assert len(a.calls) == count and not a.running and not c.running
                done.set()
                assert all_whole(await loaded)
                assert server.router.statistics.retries_total == 0

    run(work())


def test_a_worker_that_is_asked_for_again_while_it_ends_goes_on_and_so_does_the_file(tmp_path: Path) -> None:
    async def work() -> None:
        file, go = tmp_path / "workers.txt", asyncio.Event()
        async with scripted(held(go)) as a, scripted(quick) as b:
            file.write_text(f"{a.url}\n")
            async with routed(worker_file=str(file)) as server, aiohttp.ClientSession() as session:
                admin, (worker,) = f"http://127.0.0.1:{server.admin_port}", server.router.fleet.workers
                stream = asyncio.ensure_future(ask(server, streamed()))
                await until(lambda: worker.in_flight)
                for again in ("the file", "the admin API"):
                    file.write_text("")
                    await until(lambda: worker.state == "draining")
                    if again == "the file":
                        file.write_text(f"{a.url}\n{b.url}\n")
                        await until(lambda: len(server.router.fleet.workers) == 2)
                    else:
                        async with session.post(f"{admin}/workers", json={"url": a.url}) as added:
                            assert added.status == 201
                    await until(lambda: worker.state == "up")
                go.set()
                assert (await stream).whole
                file.write_text(f"{a.url}\n{b.url}\n")  # a is served already, and not by the file's will
                await until(lambda: {one.name: one.state for one in server.router.fleet.workers}.get(b.url) == "up")

    run(work())


def test_a_worker_taken_away_at_once_loses_only_what_it_had_begun_to_answer() -> None:
    async def work() -> None:
        async with (
            scripted(stops_after(STREAM_HEAD + chunk(TOKEN))) as streaming,
            scripted(stops_after(b"")) as silent,
            scripted(quick) as good,
            routed(streaming, silent) as server,
        ):
            both = [asyncio.ensure_future(ask(server, streamed())) for _ in range(2)]
            await until(lambda: silent.running and any(one.head_sent for one in server.router.active))
            await server.roster.add_worker(good.url)
            for name in (streaming.url, silent.url):
                await server.control.remove_worker(name, drain=False)
            got = sorted([await one for one in both], key=lambda one: one.whole)
            assert [(one.status, one.whole) for one in got] == [(200, False), (200, True)]
            assert [worker.serial for worker in server.router.fleet.workers] == [2]
            await until(lambda: server.router.flights.loads() == [(0, 0, 0, 0)])

    run(work())


def test_what_failed_at_a_worker_that_is_taken_away_is_no_load_of_its_successor() -> None:
    async def work() -> None:
        async with (
            scripted(stops_after(b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nabc")) as bad,
            scripted(quick) as good,
            routed(bad, good, policy="round_robin") as server,
        ):
            assert all_whole([await ask(server, streamed()) for _ in range(4)])
            assert server.router.flights.penalties and server.router.flights.loads()[0] != (0, 0, 0, 0)
            await server.control.remove_worker(bad.url, drain=False)
            assert server.router.flights.loads() == [(0, 0, 0, 0)]
            await until(lambda: server.router.flights.of_this_process == 0)

    run(work())


def test_the_policy_changes_under_load() -> None:
    async def work() -> None:
        async with scripted(quick) as a, scripted(quick) as b, routed(a, b) as server:
            done = asyncio.Event()
            loaded = asyncio.ensure_future(load(server, done))
            for name in ("round_robin", "cache_aware", "consistent_hash", "power_of_two", "priced_holes", "bf-io"):
                before = len(a.calls) + len(b.calls)
                await server.control.set_policy(name)
                await until(lambda before=before: len(a.calls) + len(b.calls) > before + 30)
            done.set()
            assert all_whole(await loaded)

    run(work())


# the router as a process


async def started(*flags: str) -> tuple[Process, Any]:
    """`shadowprice route` with these flags; the process, and something that a client can connect to."""
    command = [
        sys.executable,
        "-c",
        "from shadowprice.cli import main; main()",
        "route",
        "--no-shadow",
        "--wait-for-kernels",
    ]
    ports = ["--port", "0", "--prometheus-port", "0"]
    process = await asyncio.create_subprocess_exec(*command, *ports, *flags, stderr=PIPE, env=dict(os.environ))
    assert process.stderr is not None
    said = b""
    while b"dashboard" not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line
    found = re.search(rb"://127\.0\.0\.1:(\d+)", said)
    assert found is not None
    return process, SimpleNamespace(port=int(found[1]))


def held(go: asyncio.Event) -> Answer:
    """A stream whose end waits for `go`."""

    async def answer(call: Call) -> None:
        await call.send(STREAM_HEAD + chunk(TOKEN))
        await go.wait()
        await call.send(chunk(TOKEN + DONE) + LAST_CHUNK)

    return answer


@pytest.mark.parametrize("second_signal", [False, True])
def test_sigterm_lets_streams_finish_and_a_second_one_does_not(second_signal: bool) -> None:
    async def work() -> None:
        go = asyncio.Event()
        async with scripted(held(go)) as worker:
            process, router = await started("--worker-urls", worker.url)
            try:
                clients = [await RawClient.to(router) for _ in range(8)]
                idle = await RawClient.to(router)
                for client in clients:
                    await client.send(streamed())
                    await client.reader.readuntil(TOKEN)
                process.send_signal(signal.SIGTERM)
                assert await idle.ended() == b""  # it has heard it
                with pytest.raises(ConnectionError):
                    await RawClient.to(router)
                if second_signal:
                    process.send_signal(signal.SIGTERM)
                    for client in clients:
                        with pytest.raises(ConnectionError):
                            await client.ended()
                else:
                    go.set()
                    for client in clients:
                        assert (await client.ended()).endswith(LAST_CHUNK)
                assert await process.wait() == 0
                await until(lambda: not worker.running)
            finally:
                if process.returncode is None:
                    process.kill()

    run(work())


def test_a_request_that_is_still_being_sent_when_the_router_ends_is_refused_and_not_cut() -> None:
    async def work() -> None:
        go = asyncio.Event()
        async with scripted(held(go)) as worker:
            process, router = await started("--worker-urls", worker.url)
            try:
                streaming, uploading, idle = [await RawClient.to(router) for _ in range(3)]
                await streaming.send(streamed())
                await streaming.reader.readuntil(TOKEN)
                request = post(b'{"prompt":"%b"}' % (b"a" * 5000))
                await uploading.send(request[:1000])
                await asyncio.sleep(0.2)  # it has come
                process.send_signal(signal.SIGTERM)
                assert await idle.ended() == b""  # it has heard it
                await uploading.send(request[1000:])
                refused = await uploading.response()
                assert refused.status == 503 and b"shutting down" in refused.body
                assert (refused.values(b"retry-after"), refused.values(b"connection")) == ([b"1"], [b"close"])
                assert await uploading.ended() == b""
                go.set()
                assert (await streaming.ended()).endswith(LAST_CHUNK)
                assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()

    run(work())


def test_a_router_that_is_killed_and_started_again_learns_what_runs_from_the_workers() -> None:
    text = b"vllm:num_requests_running 7\nvllm:kv_cache_usage_perc 0.5\n"
    text += b'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n'

    async def metrics(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

    async def work() -> None:
        async with scripted(mixed) as busy, scripted(mixed) as idle:
            busy.metrics = metrics
            async with routed(busy, idle) as server:
                await until(lambda: server.router.fleet.workers[0].reported.foreign_kv_tokens == 800)
                assert server.router.fleet.workers[0].reported.foreign_requests == 7
                for _ in range(5):
                    await ask(server, post(b'{"prompt":"a"}'))
                assert len(idle.calls) == 5

    run(work())
