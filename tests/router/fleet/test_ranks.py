"""Ranks behind one URL: every front end gets the numbers that it understands, and none is sent a request before."""

from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from shadowprice.router.fleet.ranks import engines_in
from shadowprice.router.server import Server
from tests.router.in_loop import listening, routing
from tests.router.live import run, until
from tests.router.rank_worker import RankWorker

RANKS = 4
SPLIT = {"intra_node_data_parallel_size": RANKS}
REQUESTS = 24
TOKENS = 7  # of a client's request; a probe asks for one


def local(number: int) -> bool:
    return 0 <= number < RANKS


def of_the_fleet(number: int) -> bool:
    return RANKS <= number < 2 * RANKS


def any_number(number: int) -> bool:
    return True


def no_number(number: int) -> bool:
    return False


async def ask(server: Server, requests: int = REQUESTS) -> list[int]:
    """Statuses of so many completions, one after another."""
    body = {"model": "tiny", "prompt": "x", "max_tokens": TOKENS}
    statuses = []
    async with aiohttp.ClientSession() as session:
        for _ in range(requests):
            async with session.post(f"http://127.0.0.1:{server.port}/v1/completions", json=body) as answer:
                statuses.append(answer.status)
    return statuses


def reasons(server: Server) -> dict[str, str]:
    return {worker["name"]: worker["state_reason"] for worker in server.control.snapshot()["workers"]}


def all_up(server: Server) -> Callable[[], bool]:
    return lambda: all(worker.state == "up" for worker in server.router.fleet.workers)


def clients(worker: RankWorker) -> set[int]:
    """Numbers in the requests of clients."""
    return {number for number, tokens in worker.seen if tokens == TOKENS}


@pytest.mark.parametrize("labelled", [True, False], ids=["metrics name the ranks", "only the order of URLs does"])
@pytest.mark.parametrize(("takes", "expected"), [(local, range(RANKS)), (of_the_fleet, range(RANKS, 2 * RANKS))])
def test_second_node_gets_the_numbers_that_its_front_end_takes(
    takes: Callable[[int], bool], expected: range, labelled: bool
) -> None:
    async def test() -> None:
        first = RankWorker(0, RANKS, local, labelled)
        second = RankWorker(RANKS, RANKS, takes, labelled)
        async with listening(first.app()) as a, listening(second.app()) as b, routing(a, b, **SPLIT) as server:
            await until(all_up(server))
            assert await ask(server) == [200] * REQUESTS
            assert clients(first) == set(range(RANKS))
            assert clients(second) == set(expected)
            assert not any(reasons(server).values())
            if labelled:
                assert first.asked == [number for number, tokens in first.seen if tokens == TOKENS], "it was probed"

    run(test())


@pytest.mark.parametrize("takes", [local, of_the_fleet])
def test_ranks_named_in_the_url_may_be_those_of_the_fleet(takes: Callable[[int], bool]) -> None:
    async def test() -> None:
        worker = RankWorker(RANKS, RANKS, takes)
        async with listening(worker.app()) as url, routing(f"{url}@{RANKS + 1}", f"{url}@{RANKS + 3}") as server:
            await until(all_up(server))
            assert await ask(server) == [200] * REQUESTS
            assert clients(worker) == ({1, 3} if takes is local else {RANKS + 1, RANKS + 3})

    run(test())


@pytest.mark.parametrize(("takes", "said"), [(any_number, "takes"), (no_number, "refuses")])
def test_what_cannot_be_told_is_local_and_is_said(takes: Callable[[int], bool], said: str) -> None:
    async def test() -> None:
        worker = RankWorker(RANKS, RANKS, takes)
        async with listening(worker.app()) as url, routing(url, **SPLIT) as server:
            await until(all_up(server))
            await ask(server)
            assert {worker.header_rank for worker in server.router.fleet.workers} == set(range(RANKS))
            assert worker.asked[:2] == [2 * RANKS - 1, 0]
            assert all(
                f"it {said} X-data-parallel-rank {2 * RANKS - 1} and 0 alike" in reason
                for reason in reasons(server).values()
            )

    run(test())


def test_key_of_the_workers_is_shown_by_the_probe() -> None:
    async def test() -> None:
        worker = RankWorker(RANKS, RANKS, of_the_fleet, key="secret")
        async with listening(worker.app()) as url, routing(url, worker_api_key="secret", **SPLIT) as server:
            await until(all_up(server))
            assert await ask(server, 8) == [200] * 8
            assert clients(worker) == set(range(RANKS, 2 * RANKS))
        async with (
            listening(worker.app()) as url,
            routing(url, **SPLIT) as server,
        ):  # the clients' keys pass: the router has none
            await until(all_up(server))
            assert all("/v1/models names no model" in reason for reason in reasons(server).values())

    run(test())


def test_no_request_goes_to_a_rank_that_is_not_numbered() -> None:
    async def test() -> None:
        worker = RankWorker(RANKS, RANKS, of_the_fleet, busy=2)
        async with listening(worker.app()) as url, routing(url, **SPLIT) as server:
            assert await ask(server, 8) == [200] * 8  # they wait in the queue meanwhile
            assert worker.asked[:4] == [7, 7, 7, 0]  # twice busy, then known; 0 is refused
            assert clients(worker) == set(range(RANKS, 2 * RANKS))

    run(test())


def test_endpoint_that_comes_back_is_asked_again() -> None:
    async def test() -> None:
        worker = RankWorker(RANKS, RANKS, local)
        runner = web.AppRunner(worker.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with routing(f"http://127.0.0.1:{port}", **SPLIT) as server:
            await until(all_up(server))
            await runner.cleanup()
            await until(lambda: all(worker.state == "ejected" for worker in server.router.fleet.workers))
            other = RankWorker(RANKS, RANKS, of_the_fleet)
            runner = web.AppRunner(other.app())
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            assert await ask(server, 12) == [200] * 12
            assert clients(other) == set(range(RANKS, 2 * RANKS))
            await runner.cleanup()

    run(test())


def test_metrics_are_read_by_the_ranks_of_the_fleet() -> None:
    async def test() -> None:
        first, second = RankWorker(0, RANKS, local), RankWorker(RANKS, RANKS, local)
        async with listening(first.app()) as a, listening(second.app()) as b, routing(a, b, **SPLIT) as server:
            workers = server.router.fleet.workers
            await until(lambda: all(worker.reported.kv_capacity_tokens for worker in workers))
            assert [worker.reported.kv_capacity_tokens for worker in workers] == [
                16 * (100 + i) for i in range(2 * RANKS)
            ]

    run(test())


def test_engines_are_those_of_the_labels() -> None:
    text = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="11",model_name="a"} 2.0
vllm:num_requests_running{model_name="engine=\\"3\\"",engine="8"} 2.0
vllm:num_requests_waiting{engine="5",model_name="a"} 0.0
"""
    assert engines_in(text) == [8, 11]
    assert engines_in(b'sglang:num_running_reqs{dp_rank="1",model_name="a"} 0\n') == [1]
    assert engines_in(b"vllm:num_requests_running 0\n") == []
