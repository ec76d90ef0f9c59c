"""A further process of a router, in this one: the test is the first process, at the other end of the pipe."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from shadowprice.router.fleet.in_flight import Flights, block_numbers
from shadowprice.router.fleet.worker import Counts
from shadowprice.router.processes.decision_lock import NUMBERS, DecisionLock
from shadowprice.router.processes.messages import Drain, End, Followed, Forget, Joining, Report, UsePolicy
from shadowprice.router.server import Server
from shadowprice.router.settings import Settings
from tests.router.live import QUICK, ask, routed, run, streamed, until
from tests.router.numbered_requests import numbered
from tests.router.scripted_worker import answers, completion, scripted, streams


@asynccontextmanager
async def further(*followed: Followed, **settings: Any) -> AsyncIterator[tuple[Server, Connection]]:
    """The second of two processes, and the first one's end of the pipe."""
    blocks = np.zeros((2, block_numbers()), np.int64)
    ours, theirs = multiprocessing.Pipe()
    lock = DecisionLock("test_further", blocks[:, 1 : 1 + NUMBERS], 1)
    joining = Joining(theirs, followed, "least_kv", lock)
    server = Server(Settings(**{**QUICK, "processes": 2, **settings}), flights=Flights(blocks, 1), joining=joining)
    try:
        await server.start()
        yield server, ours
    finally:
        await server.stop()
        lock.remove()


async def reported(server: Server, ours: Connection) -> Report:
    """A report now."""
    while ours.poll():
        ours.recv()
    await server.report()
    report = ours.recv()
    assert isinstance(report, Report)
    return report


def test_what_a_worker_did_is_told_once_and_never_less_than_nothing() -> None:
    async def work() -> None:
        async with (
            scripted(streams(5, gap_s=0.01)) as worker,
            further(Followed(worker.url, None, 1, 7)) as (server, ours),
        ):
            await until(lambda: server.router.fleet.workers[0].state == "up")
            assert server.router.dispatcher.policy.name == "least_kv"
            for _ in range(3):
                assert (await ask(server, streamed())).whole
            await until(lambda: not server.router.in_flight)
            done = (await reported(server, ours)).workers[7]
            assert done.counts.requests_total == 3
            assert len(done.steps) == server.router.fleet.workers[0].steps.total > 0
            assert (await reported(server, ours)).workers[7] == (Counts(), [])
            ours.send(Forget(7))
            ours.send(Followed(worker.url, None, 1, 8))
            await until(lambda: [one.serial for one in server.router.fleet.workers] == [8])
            await until(lambda: server.router.fleet.workers[0].state == "up")  # it is probed again
            assert (await ask(server, streamed())).whole
            workers = (await reported(server, ours)).workers
            assert list(workers) == [8] and workers[8].counts.requests_total == 1

    run(work())


def test_steps_of_another_process_are_learned_from() -> None:
    async def work() -> None:
        async with scripted(answers(completion())) as worker, routed(worker) as server:
            live = server.router.fleet.workers[0]
            live.steps.load = (1, 10)
            live.steps.take([(2, 200, 0.02), (3, 330, 0.02)])
            assert list(live.steps.recent) == [(2, 200, 0.02), (3, 330, 0.02)] and live.steps.time_s == 0.02
            assert live.steps.load == (1, 10)  # of this process's next step

    run(work())


def test_ranks_are_those_of_the_first_process() -> None:
    async def work() -> None:
        followed = [Followed("http://127.0.0.1:9", rank, 2, 10 + rank) for rank in (0, 1)]
        async with further(*followed) as (server, _):
            found = [(one.name, one.rank, one.endpoint_ranks, one.serial) for one in server.router.fleet.workers]
            assert found == [(f"http://127.0.0.1:9@{rank}", rank, 2, 10 + rank) for rank in (0, 1)]

    run(work())


def test_a_worker_that_is_asked_for_again_while_it_ends_goes_on() -> None:
    async def work() -> None:
        async with (
            scripted(answers(completion())) as worker,
            further(Followed(worker.url, None, 1, 0)) as (server, ours),
        ):
            live = server.router.fleet.workers[0]
            await until(lambda: live.state == "up")
            ours.send(Drain(0))
            await until(lambda: live.state == "draining")
            ours.send(Followed(worker.url, None, 1, 0))
            await until(lambda: live.state == "up")
            assert server.router.fleet.workers == [live] and (await ask(server, streamed())).status == 200
            ours.send(UsePolicy("round_robin"))
            await until(lambda: server.router.dispatcher.policy.name == "round_robin")

    run(work())


async def heard(server: Server) -> int:
    """How often it was told to end."""
    times = 0
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(server.stopping.acquire(), 0.2)
            times += 1
    return times


def test_it_drains_when_told_to_and_when_the_first_process_is_no_more_and_ends_at_once_only_when_told_to() -> None:
    async def work() -> None:
        async with further() as (server, ours):
            ours.send(End(at_once=False))
            assert await heard(server) == 1
            ours.close()
            await server.report()
            await server.report()
            assert await heard(server) == 1
        async with further() as (server, ours):
            ours.send(End(at_once=True))
            assert await heard(server) >= 2

    run(work())


def test_a_report_of_any_size_comes_across() -> None:
    """Larger than what the kernel keeps for a pipe: it goes in pieces, and the reader is late for each."""

    async def work() -> None:
        async with further() as (server, ours):
            assert server.further is not None
            for k in range(5000):
                server.further.add(numbered(k, prefix=tuple(range(100))))
            sending = asyncio.ensure_future(server.report())
            await asyncio.sleep(0.1)
            assert not sending.done()
            report = await asyncio.to_thread(ours.recv)
            await sending
            assert len(report.finished) == 5000 and await heard(server) == 0

    run(work())


def test_the_queue_is_shared_out_to_the_request() -> None:
    async def work() -> None:
        for size, own in ((5, 2), (1, 0), (4, 2)):
            async with further(queue_size=size) as (server, _):
                assert server.router.dispatcher.queue_size == own

    run(work())
