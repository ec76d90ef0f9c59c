"""The bodies that the router holds: as many bytes as it may, each for as long as it may have to be sent again."""

import asyncio

from tests.router.live import RawClient, ask, post, routed, run, until
from tests.router.scripted_worker import DONE, LAST_CHUNK, STREAM_HEAD, TOKEN, Call, answers, chunk, scripted, whole

LARGE = b'{"prompt":"%b","stream":true}' % (b"a" * 100_000)


def test_a_body_is_let_go_when_its_answer_begins() -> None:
    async def answer(call: Call) -> None:
        await begin.wait()
        await call.send(STREAM_HEAD + chunk(TOKEN))
        await end.wait()
        await call.send(chunk(DONE) + LAST_CHUNK)

    begin, end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            clients = [await RawClient.to(server) for _ in range(3)]
            for client in clients:
                await client.send(post(LARGE))
            await until(lambda: len(worker.calls) == 3)
            assert server.router.door.bodies.held == 3 * len(LARGE)
            begin.set()
            await until(lambda: server.router.door.bodies.held == 0)
            assert len(server.router.active) == 3
            assert all(exchange.request.body is None for exchange in server.router.active)
            end.set()
            for client in clients:
                assert (await client.response()).whole

    run(work())


def test_beyond_what_it_may_hold_the_router_refuses_and_then_goes_on() -> None:
    async def answer(call: Call) -> None:
        await go.wait()
        await call.send(whole(b"ok"))

    go = asyncio.Event()

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker, max_buffered_size=250_000) as server:
            held = [await RawClient.to(server) for _ in range(2)]
            for client in held:
                await client.send(post(LARGE))
            await until(lambda: len(worker.calls) == 2)
            uploading = await RawClient.to(server)
            await uploading.send(post(LARGE)[:40_000])
            await until(lambda: server.router.door.bodies.held > 2 * len(LARGE))
            refused = await ask(server, post(LARGE))
            assert refused.status == 503 and b"--max-buffered-size" in refused.body
            assert refused.values(b"retry-after") == [b"1"]
            assert server.router.statistics.refused["bodies_full"] == 1
            uploading.leave()
            held.pop().leave()
            await until(lambda: server.router.door.bodies.held == len(LARGE))
            go.set()
            assert (await ask(server, post(LARGE))).body == b"ok"
            assert (await held[0].response()).body == b"ok"

    run(work())


def test_bodies_of_requests_that_the_router_answers_itself_are_let_go_too() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            for _ in range(3):
                await client.send(b"GET /health HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n\r\nabcd")
                assert (await client.response()).status == 200
            assert server.router.door.bodies.held == 0

    run(work())
