"""Clients that send or read slowly, or do nothing at all: what it costs them, and that it costs nobody else."""

import asyncio

import pytest

from tests.router.live import GET, RawClient, routed, run, streamed
from tests.router.scripted_worker import Call, answers, scripted, streams, whole


@pytest.mark.parametrize("sent", [b"GET / HT", b"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 9\r\n\r\nabc", b"\r\n"])
def test_who_sends_too_slowly_is_told_so_and_cut(sent: bytes) -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"x"))) as worker, routed(worker, header_timeout_s=0.2) as server:
            clients = [await RawClient.to(server) for _ in range(5)]
            for client in clients:
                await client.send(sent)
            for client in clients:
                assert (await client.response()).status == 408
                assert await client.ended() == b""
            assert not worker.calls

    run(work())


def test_drops_of_a_head_do_not_keep_a_connection() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"x"))) as worker, routed(worker, header_timeout_s=0.3) as server:
            client = await RawClient.to(server)
            await client.send(b"GET / HTTP/1.1\r\n")

            async def drip() -> None:
                while True:
                    await asyncio.sleep(0.05)
                    await client.send(b"X: y\r\n")

            dripping = asyncio.ensure_future(drip())
            assert (await client.response()).status == 408
            dripping.cancel()

    run(work())


def test_an_idle_connection_is_closed_and_a_busy_one_not() -> None:
    async def work() -> None:
        async with scripted(streams(40, gap_s=0.02)) as worker, routed(worker, idle_timeout_s=0.2) as server:
            idle, busy = await RawClient.to(server), await RawClient.to(server)
            await busy.send(streamed())
            assert await idle.ended() == b""
            assert (await busy.response()).whole
            assert await busy.ended() == b""

    run(work())


def test_a_client_that_does_not_read_costs_no_memory_and_gets_all_in_the_end() -> None:
    total = 60_000_000
    written = [0]

    async def answer(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while written[0] < total:
            await call.send(b"x" * 100_000)
            written[0] += 100_000

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker, progress_timeout_s=0.3) as server:
            client = await RawClient.to(server, receive_buffer=10_000)
            await client.send(GET)
            before = -1
            while before != written[0]:  # until it stands still
                before = written[0]
                await asyncio.sleep(0.5)
            assert written[0] < 30_000_000  # what the kernel's buffers take
            assert sum(one.transport.get_write_buffer_size() for one in server.router.door.clients) < 2_000_000
            client.hurry()
            assert len((await client.response()).body) == total

    run(work())


def test_a_pipelined_answer_waits_for_the_reader_too() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"x" * 400_000))) as worker, routed(worker) as server:
            client = await RawClient.to(server, receive_buffer=10_000)
            await client.send(GET * 100)
            await asyncio.sleep(0.5)
            assert sum(one.transport.get_write_buffer_size() for one in server.router.door.clients) < 4_000_000
            client.hurry()
            for _ in range(100):
                assert len((await client.response()).body) == 400_000

    run(work())
