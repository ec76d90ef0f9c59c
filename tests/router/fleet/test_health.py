"""Probes: who is asked how it is and who is not, and what becomes of one that no longer listens."""

import asyncio

import pytest

from shadowprice.router.fleet.worker import EJECTED
from tests.router.live import ask, post, routed, run, streamed, until
from tests.router.mixed_worker import answer as mixed
from tests.router.scripted_worker import LAST_CHUNK, STREAM_HEAD, TOKEN, Call, chunk, completion, scripted, whole

PLAIN = post(b'{"prompt":"a"}')


def test_who_refuses_a_connection_is_out_at_once() -> None:
    async def work() -> None:
        seldom = {"health_check_interval_s": 1000.0, "policy": "round_robin"}
        async with scripted(mixed) as gone, scripted(mixed) as good, routed(gone, good, **seldom) as server:
            await gone.kill()
            got = [await ask(server, PLAIN) for _ in range(2)]
            assert {one.status for one in got} == {200} and len(good.calls) == 2
            worker = server.router.fleet.workers[0]
            assert worker.state == EJECTED and worker.reason == "nothing listens" and worker.counts.errors_total == 1

    run(work())


def test_who_sends_tokens_is_not_asked_how_it_is() -> None:
    async def tokens(call: Call) -> None:
        await call.send(STREAM_HEAD)
        while not silent.is_set():
            await call.send(chunk(TOKEN))
            await asyncio.sleep(0.005)
        await over.wait()
        await call.send(LAST_CHUNK)

    async def counted(call: Call) -> None:
        probes.append(call)
        await call.send(whole(b""))

    async def work() -> None:
        async with scripted(tokens) as worker, routed(worker, health_check_interval_s=0.2) as server:
            stream = asyncio.ensure_future(ask(server, streamed()))
            await until(lambda: server.router.flights.loads()[0][0])
            worker.health = counted
            await asyncio.sleep(0.3)  # a probe may have been on its way
            probes.clear()
            await asyncio.sleep(1.0)
            assert len(probes) < 3  # of five; a busy machine may have kept a token back
            silent.set()
            await until(lambda: len(probes) > 2)
            over.set()
            assert (await stream).whole

    probes: list[Call] = []
    silent, over = asyncio.Event(), asyncio.Event()
    run(work())


def test_a_probe_is_no_reason_not_to_probe() -> None:
    async def counted(call: Call) -> None:
        probes.append(call)
        await call.send(whole(b""))

    async def work() -> None:
        async with scripted(mixed) as worker, routed(worker) as server:
            now_s = server.router.clock()
            server.router.clock = lambda: now_s  # timers may fire before their time; here long before
            worker.health = counted
            await until(lambda: len(probes) > 3)

    probes: list[Call] = []
    run(work())


@pytest.mark.parametrize("interval_s", [0.05, 1000.0])
def test_who_stops_listening_may_finish_what_it_has(interval_s: float) -> None:
    async def slow(call: Call) -> None:
        await release.wait()
        await call.send(completion(1, 1))

    async def asked_once_more(call: Call) -> None:
        call.close()  # the connection of the probes, which would go on

    async def work() -> None:
        async with (
            scripted(slow) as leaving,
            scripted(slow) as other,
            routed(leaving, other, health_check_interval_s=interval_s, policy="round_robin") as server,
        ):
            before = [asyncio.ensure_future(ask(server, PLAIN)) for _ in range(6)]
            await until(lambda: len(leaving.calls) == len(other.calls) == 3)
            assert leaving.server is not None
            leaving.health = asked_once_more
            leaving.server.close()
            if interval_s < 1:  # else the requests find it out
                await until(lambda: server.router.fleet.workers[0].state == EJECTED)
            after = [asyncio.ensure_future(ask(server, PLAIN)) for _ in range(4)]
            await until(lambda: len(other.calls) == 7 and server.router.fleet.workers[0].state == EJECTED)
            release.set()
            assert {(await one).status for one in [*before, *after]} == {200}
            assert len(leaving.calls) == 3 and len(other.calls) == 7  # nothing was computed twice

    release = asyncio.Event()
    run(work())
