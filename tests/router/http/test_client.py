"""One client's connection: order of answers, what keeps it open, what it may not do, and what it costs to be slow."""

import asyncio

import pytest

from tests.router.live import GET, RawClient, ask, post, routed, run, streamed, until
from tests.router.scripted_worker import (
    LAST_CHUNK,
    STREAM_HEAD,
    TOKEN,
    Call,
    chunk,
    scripted,
    stops_after,
    whole,
)


async def echo(call: Call) -> None:
    """The target, as the body."""
    await asyncio.sleep(0.005 if call.target.endswith(b"slow") else 0)
    await call.send(whole(call.target + call.body))


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            targets = [f"/{i}{'slow' * (i % 3 == 0)}".encode() for i in range(60)]
            targets[20:20] = [b"/health", b"/health"]  # the router's own answers among them
            await client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: r\r\n\r\n" % target for target in targets))
            for target in targets:
                assert (await client.response()).body == (b"" if target == b"/health" else target)

    run(work())


def test_pipelined_uploads_and_upgrades_are_answered_in_their_order() -> None:
    upgrade = b"GET /up HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
            requests = [post(b"x" * 30_000, b"/a"), *[upgrade] * 1500, post(b"y", b"/b", offer), GET]
            client.writer.write(b"".join(requests))
            assert (await client.response()).body == b"/a" + b"x" * 30_000
            for _ in range(1500):
                assert (await client.response()).body == b"/up"
            assert [(await client.response()).body for _ in range(2)] == [b"/by", b"/v1/x"]
            assert not worker.calls[-2].values(b"http2-settings")

    run(work())


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (b"GET /x\r\n\r\n", 505),
        (b"BAD\x00", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : r", 400),
    ],
)
def test_what_is_wrong_is_refused_after_what_came_before_is_answered(last: bytes, status: int) -> None:
    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(b"GET /1slow HTTP/1.1\r\nHost: r\r\n\r\nGET /2 HTTP/1.1\r\nHost: r\r\n\r\n" + last)
            assert [(await client.response()).body for _ in range(2)] == [b"/1slow", b"/2"]
            got = await client.response()
            assert (got.status, got.values(b"connection")) == (status, [b"close"])
            assert await client.ended() == b"" and len(worker.calls) == 2

    run(work())


@pytest.mark.parametrize(
    ("head", "open_after"),
    [
        (b"GET /x HTTP/1.1\r\nHost: r\r\n\r\n", True),
        (b"GET /x HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_a_connection_stays_open_as_the_client_asked(head: bytes, open_after: bool) -> None:
    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(head)
            assert (await client.response()).body == b"/x"
            await client.send(GET)
            if open_after:
                assert (await client.response()).status == 200
            else:
                with pytest.raises((ConnectionError, AssertionError)):
                    assert await client.ended()
            assert len(worker.calls) == 1 + open_after

    run(work())


def test_what_follows_the_last_request_is_not_looked_at() -> None:
    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(b"GET /x HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\n")
            got = await client.response()
            assert (got.body, got.whole) == (b"/x", True) and len(worker.calls) == 1

    run(work())


def test_continue_is_said_once_and_in_its_place() -> None:
    async def first_slow(call: Call) -> None:
        if call.target == b"/first":
            await call.send(STREAM_HEAD + chunk(TOKEN))
            await release.wait()
            await call.send(chunk(TOKEN) + LAST_CHUNK)
        else:
            await echo(call)

    async def work() -> None:
        async with scripted(first_slow) as worker, routed(worker, max_payload_size=1000) as server:
            client = await RawClient.to(server)
            expecting = b"POST /second HTTP/1.1\r\nHost: r\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            await client.send(b"GET /first HTTP/1.1\r\nHost: r\r\n\r\n" + expecting)
            await client.reader.readuntil(TOKEN)
            release.set()
            await client.reader.readuntil(TOKEN + b"\r\n" + LAST_CHUNK)
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"abc" + expecting)
            got = [await client.response()]
            await client.send(b"def")
            got.append(await client.response())
            assert [(one.interim, one.body) for one in got] == [([], b"/secondabc"), ([100], b"/seconddef")]
            assert not worker.calls[-1].values(b"expect")
            refused = await ask(server, expecting.replace(b": 3", b": 3333"))
            assert (refused.status, refused.interim) == (413, [])

    release = asyncio.Event()
    run(work())


def test_limits_answer_with_their_status_even_while_the_client_goes_on_sending() -> None:
    async def work() -> None:
        limits = {"max_header_size": 4000, "max_payload_size": 50_000}
        async with scripted(echo) as worker, routed(worker, **limits) as server:
            chunks = b"POST / HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n"
            cases = [
                (post(b"x" * 50_001), 413),
                (chunks + b"4000\r\n" + b"x" * 0x4000 + b"\r\nffffff\r\n" + b"y" * 500_000, 413),
                (chunks + b"fffffffffffff\r\n" + b"y" * 500_000, 413),
                (b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: r\r\n\r\n", 431),
                (b"GET / HTTP/1.1\r\nHost: r\r\nX: " + b"a" * 900_000, 431),
                (GET + b"GET / HTTP/1.1\r\nHost: r\r\nX: " + b"a" * 4000 + b"\r\n\r\n", 431),
                (chunks + b"3;" + b"e" * 900_000, 431),
                (chunks + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 150_000, 431),
            ]
            for request, status in cases:
                client = await RawClient.to(server)
                client.writer.write(request)
                if request.startswith(GET):
                    assert (await client.response()).status == 200
                assert (await client.response()).status == status, request[:60]
            largest = await ask(server, post(b"x" * 50_000, b"/"))
            assert largest.body == b"/" + b"x" * 50_000
            refused = server.router.statistics.refused
            assert refused["too_large"] == len(cases) and len(worker.calls) == 2

    run(work())


def test_large_bodies_pass_both_ways() -> None:
    async def work() -> None:
        async with scripted(echo) as worker, routed(worker) as server:
            body = bytes(range(256)) * 80_000
            assert (await ask(server, post(body, b"/big"))).body == b"/big" + body

    run(work())


def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    async def work() -> None:
        async with (
            scripted(stops_after(b"")) as silent,
            scripted(stops_after(STREAM_HEAD + chunk(TOKEN))) as talking,
        ):
            for worker in (silent, talking):
                async with routed(worker, max_num_seqs=1) as server:
                    client, queued = await RawClient.to(server), await RawClient.to(server)
                    await client.send(streamed())
                    await until(lambda: worker.running)  # noqa: B023
                    await queued.send(streamed())
                    await until(lambda: server.router.dispatcher.waiting)
                    queued.leave()
                    await until(lambda: not server.router.dispatcher.waiting)
                    client.leave()
                    await until(lambda: not worker.running)  # noqa: B023
                    assert server.router.statistics.responses["aborted"] == 2

    run(work())
