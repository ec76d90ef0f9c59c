"""Requests that a worker swallowed in an illness that is over: it lives, and will never answer them."""

import asyncio

from tests.router.live import ask, post, routed, run, streamed, until
from tests.router.scripted_worker import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    TOKEN,
    Call,
    chunk,
    completion,
    scripted,
    streams,
    whole,
)

SWALLOWED = b"swallow"
NONE_RUNNING = b'vllm:num_requests_running{engine="0"} 0\nvllm:num_requests_waiting{engine="0"} 0\n'
ONE_RUNNING = NONE_RUNNING.replace(b'running{engine="0"} 0', b'running{engine="0"} 1')


def swallows_first(answer_of_others: bytes | None) -> tuple[list[Call], object]:
    """Never answers the first request that says so; plain answers, or streams where None."""
    swallowed: list[Call] = []

    async def answer(call: Call) -> None:
        if SWALLOWED in call.body and not swallowed:
            swallowed.append(call)
            await call.gone.wait()
        elif answer_of_others is None:
            await streams(3)(call)
        else:
            await call.send(answer_of_others)

    return swallowed, answer


def test_a_stream_that_later_ones_overtook_by_the_limit_is_asked_for_again() -> None:
    async def work() -> None:
        swallowed, answer = swallows_first(None)
        async with scripted(answer) as worker, routed(worker, progress_timeout_s=0.6) as server:  # type: ignore[arg-type]
            lost = asyncio.ensure_future(ask(server, streamed("swallow this")))
            await until(lambda: swallowed)
            while not lost.done():  # the worker is well: these are answered, and are the sign of it
                assert (await ask(server, streamed("and this"))).whole
                await asyncio.sleep(0.05)
            response = await lost
            assert response.whole and response.body.count(TOKEN) == 3
            await until(swallowed[0].gone.is_set)  # the worker looks every few milliseconds

    run(work())


def test_one_that_waits_while_only_earlier_ones_run_is_waited_for() -> None:
    async def work() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def answer(call: Call) -> None:
            if b"first" in call.body:
                await call.send(STREAM_HEAD)
                while not go_on.is_set():
                    await call.send(chunk(TOKEN))
                    await asyncio.sleep(0.05)
                    begun.set()
            else:
                await go_on.wait()
                await call.send(STREAM_HEAD)
            await call.send(chunk(TOKEN) + chunk(DONE) + LAST_CHUNK)

        async with scripted(answer) as worker, routed(worker, progress_timeout_s=0.3) as server:
            first = asyncio.ensure_future(ask(server, streamed("first")))
            await begun.wait()
            queued = asyncio.ensure_future(ask(server, streamed("queued")))
            await asyncio.sleep(1.0)  # three times the limit
            assert not queued.done() and len(worker.calls) == 2
            go_on.set()
            assert (await first).whole and (await queued).whole

    run(work())


def test_a_plain_request_is_asked_for_again_when_the_worker_says_that_it_has_none() -> None:
    async def work() -> None:
        swallowed, answer = swallows_first(completion())
        async with scripted(answer) as worker, routed(worker, progress_timeout_s=0.4) as server:  # type: ignore[arg-type]

            async def metrics(call: Call) -> None:
                await call.send(whole(reported[0]))

            reported = [ONE_RUNNING]
            worker.metrics = metrics
            lost = asyncio.ensure_future(ask(server, post(b'{"prompt":"swallow"}')))
            await until(lambda: swallowed)
            await asyncio.sleep(1.0)
            assert not lost.done()  # it may be a long answer
            reported[0] = NONE_RUNNING
            assert (await lost).status == 200

    run(work())


def test_a_worker_that_is_tried_again_and_swallows_the_trial_is_given_up_again() -> None:
    async def work() -> None:
        healthy = asyncio.Event()

        async def answer(call: Call) -> None:
            if SWALLOWED in call.body and not healthy.is_set():
                await call.gone.wait()
            else:
                await call.send(completion())

        async with scripted(answer) as worker, routed(worker, progress_timeout_s=0.4) as server:
            live = server.router.fleet.workers[0]
            live.eject(server.router.clock(), "as if it had failed")
            await until(lambda: live.state == "probing")
            trial = asyncio.ensure_future(ask(server, post(b'{"prompt":"swallow"}')))
            await until(lambda: live.counts.errors_total > 0)  # its probes are answered all the time
            healthy.set()
            assert (await trial).status == 200
            await until(lambda: live.state == "up")

    run(work())
