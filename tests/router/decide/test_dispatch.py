"""Caps hold, what does not fit waits, and what cannot wait is told so."""

import asyncio
from typing import Any

import pytest

from shadowprice.router.fleet.worker import EJECTED, NOT_PROBED, PROBING
from tests.router.in_loop import routing
from tests.router.live import RawClient, ask, post, routed, run, streamed, until
from tests.router.one_at_a_time import named, queued, when_told
from tests.router.scripted_worker import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    TOKEN,
    Call,
    ScriptedWorker,
    answers,
    chunk,
    resets_after,
    scripted,
    stops_after,
    streams,
)


@pytest.mark.parametrize("policy", ["bf_io", "round_robin", "power_of_two"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_worker_never_has_more_requests_than_it_may(policy: str, broken: bool) -> None:
    async def work() -> None:
        async with (
            scripted(streams(8, gap_s=0.001)) as a,
            scripted(streams(8, gap_s=0.001)) as b,
            scripted(resets_after(b"") if broken else streams(8)) as c,
            routed(a, b, c, policy=policy, max_num_seqs=3) as server,
        ):
            got = await asyncio.gather(*(ask(server, streamed()) for _ in range(80)))
            assert all(one.status == 200 and one.whole for one in got)
            assert max(worker.most_running for worker in (a, b, c)) <= 3
            assert a.most_running == b.most_running == 3

    run(work())


def test_all_requests_together_are_never_more_than_they_may_be() -> None:
    running, most = [0], [0]

    async def counted(call: Call) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await streams(10, gap_s=0.002)(call)
        running[0] -= 1

    async def work() -> None:
        limits: dict[str, Any] = {"max_concurrent_requests": 8}
        async with scripted(counted) as a, scripted(counted) as b, routed(a, b, **limits) as server:
            got = await asyncio.gather(*(ask(server, streamed()) for _ in range(64)))
            assert all(one.status == 200 and one.body.count(b"data: {") == 10 for one in got)
            assert most[0] == 8

    run(work())


def test_kv_tokens_stay_under_their_cap_and_what_is_too_large_goes_to_an_empty_worker() -> None:
    def tokens(call: Call) -> int:
        return call.body.count(b",")  # one before each of the ids but the first, and one after the list

    worst = [0]

    async def counted(call: Call) -> None:
        others = [tokens(other) for other in worker_of[0].running]
        worst[0] = max(worst[0], sum(others) if len(others) > 1 else 0)
        await streams(5, gap_s=0.002)(call)

    worker_of: list[ScriptedWorker] = []

    async def work() -> None:
        async with scripted(counted) as worker, routed(worker, max_kv_tokens=100) as server:
            worker_of.append(worker)
            sizes = [30] * 20 + [150] * 2 + [45] * 10
            requests = [post(b'{"prompt":[%b],"stream":true}' % b",".join([b"1"] * size)) for size in sizes]
            got = await asyncio.gather(*(ask(server, request) for request in requests))
            assert all(one.status == 200 and one.whole for one in got)
            assert 60 <= worst[0] <= 100

    run(work())


@pytest.mark.parametrize("policy", ["bf_io", "least_kv", "round_robin"])
def test_small_requests_do_not_keep_a_large_one_from_kv_memory_for_ever(policy: str) -> None:
    """One small request ends at a time, and what waits takes its place, long before there is memory for the large."""

    def of_tokens(tokens: int) -> bytes:
        return post(b'{"prompt":[%b]}' % b",".join([b"1"] * tokens))

    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_kv_tokens": 100, "policy": policy, "most_passes": 10, "queue_size": 1000}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            tasks = await queued(server, [of_tokens(20)] * 5 + [of_tokens(90)] + [of_tokens(20)] * 40)
            for done in range(1, len(tasks) + 1):
                turns.release()
                await until(lambda done=done: sum(task.done() for task in tasks) == done)
            sizes = [call.body.count(b"1") for call in worker.calls]
            assert sizes.index(90) == 5 + 10 and len(sizes) == len(tasks)

    run(work())


def test_kv_capacity_is_read_from_the_workers_metrics() -> None:
    text = b'vllm:cache_config_info{block_size="16",num_gpu_blocks="5",engine="0"} 1.0\n'

    async def work() -> None:
        async with scripted(streams(5, gap_s=0.002)) as worker:
            worker.metrics = answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            async with routed(worker) as server:
                await until(lambda: server.router.fleet.workers[0].reported.kv_capacity_tokens == 80)
                body = b'{"prompt":[%b],"stream":true}' % b",".join([b"1"] * 35)
                got = await asyncio.gather(*(ask(server, post(body)) for _ in range(10)))
                assert all(one.whole for one in got) and worker.most_running == 2

    run(work())


def test_a_full_queue_and_a_long_wait_are_429_with_the_time_to_come_back() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "queue_size": 2, "queue_timeout_s": 0.5}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            tasks = await queued(server, [named("a"), named("b"), named("c")])
            full = await ask(server, named("d"))
            assert full.status == 429 and 1 <= int(full.values(b"retry-after")[0]) <= 60
            late = await asyncio.gather(*tasks[1:])
            assert {one.status for one in late} == {429} and late[0].values(b"retry-after")
            assert full.values(b"connection") == []  # the client may use its connection again
            refused = server.router.statistics.refused
            assert (refused["queue_full"], refused["queue_timeout"]) == (1, 2)
            turns.release()
            assert (await tasks[0]).status == 200 and len(worker.calls) == 1

    run(work())


def test_waiting_counts_as_time_that_a_request_takes() -> None:
    async def work() -> None:
        async with routed(request_timeout_s=0.3) as server:  # no worker: nothing but the queue can give it up
            late = await ask(server, named("a"))
            assert late.status == 504 and b"no answer within 0.3 s" in late.body
            assert server.router.statistics.responses["5xx"] == 1 and not server.router.dispatcher.waiting
        turns = asyncio.Semaphore(0)
        async with (
            scripted(when_told(turns)) as worker,
            routed(worker, max_num_seqs=1, request_timeout_s=0.3) as server,
        ):
            tasks = await queued(server, [named("a"), named("b"), named("c")])
            assert [one.status for one in await asyncio.gather(*tasks)] == [504] * 3 and len(worker.calls) == 1

    run(work())


def test_no_spelling_of_a_path_passes_the_caps() -> None:
    async def work() -> None:
        spelled = (b"/v1/completions", b"/v1/%63ompletions", b"/v1%2fcompletions?a=%23")
        async with scripted(streams(8, gap_s=0.001)) as worker, routed(worker, max_num_seqs=1) as server:
            asked = [post(b'{"prompt":"a","stream":true}', path) for path in spelled]
            got = await asyncio.gather(*(ask(server, request) for request in asked * 3))
            assert {one.status for one in got} == {200} and worker.most_running == 1
            assert {call.target for call in worker.calls} == set(spelled)  # as it was sent
            health = await ask(server, b"GET /%68ealth HTTP/1.1\r\nHost: r\r\n\r\n")
            assert health.status == 200 and len(worker.calls) == 9
            for target in (b"/v1/completions#x", b"http://r/v1/completions#", b"http://r#/v1/completions"):
                refused = await ask(server, post(b"{}", target))
                assert refused.status == 400 and len(worker.calls) == 9

    run(work())


def test_a_queue_ends_when_its_worker_comes_back() -> None:
    async def work() -> None:
        async with scripted(streams(3)) as worker, routed(worker) as server:
            await worker.kill()
            await until(lambda: not server.router.healthy)
            waiting = asyncio.ensure_future(ask(server, streamed()))
            health = await ask(server, b"GET /health HTTP/1.1\r\nHost: r\r\n\r\n")
            assert health.status == 503
            await worker.start()
            got = await waiting
            assert got.status == 200 and got.whole

    run(work())


def test_it_is_ready_once_a_worker_has_answered() -> None:
    async def work() -> None:
        asked = b"GET /health HTTP/1.1\r\nHost: r\r\n\r\n"
        async with scripted(streams(1)) as worker:
            worker.health = stops_after(b"")
            async with routing(worker.url, health_check_timeout_s=20.0) as server:
                assert server.router.fleet.workers[0].reason == NOT_PROBED
                assert (await ask(server, asked)).status == 503
                server.router.fleet.workers[0].probe_succeeded(server.router.clock())
                assert (await ask(server, asked)).status == 200
                live = server.router.fleet.workers[0]
                live.state, live.reason = PROBING, "answers health probes again"
                assert (await ask(server, asked)).status == 200
                server.router.fleet.workers[0].state = EJECTED
                assert (await ask(server, asked)).status == 503

    run(work())


def test_without_any_worker_the_answer_is_503() -> None:
    async def work() -> None:
        async with routed() as server:
            client = await RawClient.to(server)
            await client.send(streamed())
            got = await client.response()
            assert got.status == 503 and got.values(b"retry-after")

    run(work())


def test_one_worker_that_streams_counts_its_event_stream_only() -> None:
    async def work() -> None:
        body = STREAM_HEAD + chunk(TOKEN * 4) + chunk(DONE) + LAST_CHUNK
        async with scripted(answers(body)) as worker, routed(worker) as server:
            await ask(server, streamed())
            assert server.router.fleet.workers[0].counts.generated_tokens_total == 4

    run(work())
