"""Workers that die, hang, lie and refuse: what clients see, and where requests go meanwhile."""

import asyncio
import signal
import subprocess
import sys

import pytest

from shadowprice.router.fleet.worker import EJECTED, FAILURES_TO_EJECT, UP
from shadowprice.router.server import Server
from tests.router.live import RawClient, Response, ask, post, routed, run, streamed, until
from tests.router.mixed_worker import answer as mixed
from tests.router.scripted_worker import (
    DONE,
    LAST_CHUNK,
    NOT_FOUND,
    STREAM_HEAD,
    TOKEN,
    Call,
    answers,
    chunk,
    completion,
    resets_after,
    scripted,
    stops_after,
    whole,
)

PLAIN = post(b'{"prompt":"a"}')


async def plain_load(server: Server, clients: int, until_set: asyncio.Event) -> list[Response]:
    """Closed-loop clients; all their answers."""

    async def one() -> list[Response]:
        got = []
        client = await RawClient.to(server)
        while not until_set.is_set():
            await client.send(PLAIN)
            got.append(await client.response())
        return got

    return [response for some in await asyncio.gather(*(one() for _ in range(clients))) for response in some]


def test_a_killed_process_costs_its_streams_and_nothing_else_and_is_back_when_it_is_back() -> None:
    def start(port: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.router.mixed_worker", str(port)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline()  # it listens
        return process

    async def work() -> None:
        async with scripted(mixed) as worker, scripted(mixed) as place:
            await place.kill()  # its port is free for the process
            process = start(place.port)
            done = asyncio.Event()
            try:
                async with routed(worker, place, policy="round_robin") as server:
                    streaming = [asyncio.ensure_future(ask(server, streamed())) for _ in range(8)]
                    begun = server.router.active
                    await until(lambda: len(begun) == 8 and all(exchange.head_sent for exchange in begun))
                    plain = asyncio.ensure_future(plain_load(server, 8, done))
                    victim = server.router.fleet.workers[1]
                    await until(lambda: victim.counts.requests_total > 20 and victim.counts.generated_tokens_total >= 0)
                    await until(lambda: victim.in_flight > 4)
                    process.send_signal(signal.SIGKILL)
                    await until(lambda: victim.state == EJECTED)
                    process.wait()
                    process = start(place.port)
                    before = victim.counts.requests_total
                    await until(lambda: victim.state == UP and victim.counts.requests_total > before + 10)
                    done.set()
                    assert {(one.status, one.whole) for one in await plain} == {(200, True)}
                    streams_got = await asyncio.gather(*streaming)
                    assert all(one.whole == (DONE in one.body) for one in streams_got)
                    assert sum(not one.whole for one in streams_got) == 4
                    assert server.router.statistics.truncated_total == 4
            finally:
                process.kill()
                process.wait()

    run(work())


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("head", [STREAM_HEAD, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"])
def test_a_stream_that_is_cut_ends_as_an_error_for_the_client(version: bytes, head: bytes) -> None:
    async def cut_clean(call: Call) -> None:
        await call.send(head + (chunk(TOKEN) if head is STREAM_HEAD else TOKEN))
        await release.wait()
        call.close()

    async def work() -> None:
        async with scripted(cut_clean) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(streamed().replace(b"HTTP/1.1", b"HTTP/" + version))
            await client.reader.readuntil(TOKEN)
            release.set()
            await until(client.reader.exception)
            assert LAST_CHUNK not in bytes(client.reader._buffer)  # with it all would seem to be there
            with pytest.raises(ConnectionError):
                await client.ended()
            assert server.router.statistics.truncated_total == 1
            assert len(worker.calls) == 1  # it had begun: not tried again

    release = asyncio.Event()
    run(work())


@pytest.mark.parametrize("ending", [DONE, b"event: response.completed\ndata: {}\n\n"])
def test_a_stream_without_framing_that_says_its_end_is_whole(ending: bytes) -> None:
    async def work() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        async with scripted(answers(head + TOKEN + ending, close=True)) as worker, routed(worker) as server:
            got = await ask(server, streamed())
            assert got.whole and got.body == TOKEN + ending

    run(work())


BREAKS = {
    "reset": resets_after(b""),
    "reset in head": resets_after(b"HTTP/1.1 200 O"),
    "reset after head": resets_after(STREAM_HEAD),
    "close": answers(b"", close=True),
    "no HTTP": answers(b"hello there, this is no HTTP\r\n\r\n"),
    "upgrade": answers(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "compressed transfer": answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + LAST_CHUNK),
    "two lengths": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "length and chunks": answers(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "endless head": answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
    "endless interim": answers(b"HTTP/1.1 100 Continue\r\n\r\n" * 30_000),
    "500": answers(whole(b"oh", "500 Oh")),
    "502": answers(whole(b"oh", "502 Oh")),
    "503": answers(whole(b"oh", "503 Busy")),
    "429": answers(whole(b"oh", "429 Busy")),
    "half a 500": stops_after(b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nabc"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_fails_before_its_first_byte_is_done_elsewhere(name: str) -> None:
    async def work() -> None:
        async with (
            scripted(BREAKS[name]) as bad,
            scripted(mixed) as good,
            routed(bad, good, policy="round_robin") as server,
        ):
            got = await asyncio.gather(*(ask(server, PLAIN) for _ in range(30)))
            assert {one.status for one in got} == {200}
            worker = server.router.fleet.workers[0]
            assert bad.calls and worker.counts.errors_total >= 1
            assert (worker.state == UP) == (name in ("503", "429"))  # busy is not dead
            before_it_is_out = (30 + FAILURES_TO_EJECT - 1) // 2  # every other one of the requests and of the retries
            assert len(bad.calls) <= (30 if worker.state == UP else before_it_is_out)

    run(work())


def test_the_last_answer_is_passed_on_where_nobody_does_better() -> None:
    async def work() -> None:
        failing = answers(whole(b"oh", "500 Oh"))
        async with scripted(failing) as a, scripted(failing) as b, routed(a, b) as server:
            for _ in range(6):  # the request's fault, not theirs
                got = await ask(server, PLAIN)
                assert (got.status, got.body) == (500, b"oh")
            assert len(a.calls) == len(b.calls) == 6
            assert {worker.state for worker in server.router.fleet.workers} == {UP}
        async with scripted(answers(whole(b"oh", "429 Oh"))) as a, routed(a) as server:
            assert (await ask(server, PLAIN)).status == 429
            assert server.router.fleet.workers[0].state == UP
        async with scripted(resets_after(b"")) as a, routed(a, max_retries=0) as server:
            got = await ask(server, PLAIN)
            assert got.status == 502 and got.values(b"content-type") == [b"application/json"]

    run(work())


def test_an_idle_connection_that_the_worker_closed_is_nobodys_failure() -> None:
    async def once(call: Call) -> None:  # the second request on a connection meets its end
        if len([other for other in worker_calls if other.writer is call.writer]):
            call.reset()
            return
        worker_calls.append(call)
        await call.send(completion())

    worker_calls: list[Call] = []

    async def work() -> None:
        async with scripted(once) as worker, routed(worker) as server:
            for _ in range(10):
                assert (await ask(server, PLAIN)).status == 200
            about = server.router.fleet.workers[0]
            assert about.counts.errors_total == 0 and about.state == UP
            assert not server.router.flights.penalties

    run(work())


def test_who_fails_fast_does_not_attract_requests() -> None:
    async def work() -> None:
        failing = answers(whole(b"oh", "500 Oh"))
        async with scripted(failing) as hole, scripted(mixed) as a, scripted(mixed) as b, routed(hole, a, b) as server:
            done = asyncio.Event()
            load = asyncio.ensure_future(plain_load(server, 8, done))
            await until(lambda: len(a.calls) + len(b.calls) > 600)
            done.set()
            assert {one.status for one in await load} == {200}
            assert len(hole.calls) < 0.1 * (len(a.calls) + len(b.calls))

    run(work())


def test_a_hung_worker_keeps_nobody() -> None:
    async def work() -> None:
        limits = {"progress_timeout_s": 0.5, "health_check_timeout_s": 0.2}
        async with scripted(mixed) as hung, scripted(mixed) as good, routed(hung, good, **limits) as server:
            release = asyncio.Event()
            hung.health = hung.metrics = hung.answer = stops_after(b"")
            got = await asyncio.gather(*(ask(server, PLAIN) for _ in range(30)))
            assert {one.status for one in got} == {200} and hung.calls
            assert server.router.fleet.workers[0].state == EJECTED
            hung.health, hung.metrics, hung.answer = answers(whole(b"")), answers(NOT_FOUND), mixed
            await until(lambda: server.router.fleet.workers[0].state != EJECTED)
            load = asyncio.ensure_future(plain_load(server, 4, release))
            await until(lambda: server.router.fleet.workers[0].state == UP)
            release.set()
            assert {one.status for one in await load} == {200}

    run(work())


def test_a_stream_that_stands_still_is_cut_though_the_worker_lives() -> None:
    async def work() -> None:
        async with (
            scripted(stops_after(STREAM_HEAD + chunk(TOKEN))) as worker,
            routed(worker, progress_timeout_s=0.3) as server,
        ):
            got = await ask(server, streamed())
            assert (got.status, got.body, got.whole) == (200, TOKEN, False)
            await until(lambda: not worker.running)

    run(work())
