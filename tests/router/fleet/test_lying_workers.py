"""Workers that answer with more, or something else, than was asked for."""

import asyncio

import pytest

from shadowprice.router.fleet.report import read_report
from tests.router.in_memory import Bench, responses_in
from tests.router.live import GET, RawClient, ask, post, routed, run, until
from tests.router.mixed_worker import answer as mixed
from tests.router.scripted_worker import LAST_CHUNK, STREAM_HEAD, answers, scripted, whole

PLAIN = post(b'{"prompt":"a"}')


@pytest.mark.parametrize("surplus", [whole(b"<evil>"), b"junk", b"\r\n", b"HTTP/1.1 200"])
def test_what_a_worker_adds_to_its_answer_reaches_nobody(surplus: bytes) -> None:
    async def work() -> None:
        for answer in (whole(b"ok"), b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", STREAM_HEAD + LAST_CHUNK):
            async with scripted(answers(answer + surplus)) as worker, routed(worker) as server:
                client = await RawClient.to(server)
                for _ in range(5):
                    await client.send(GET)
                    got = await client.response()
                    assert got.whole and got.body in (b"ok", b"") and got.status in (200, 304)
                assert len(worker.calls) == 5

    run(work())


def test_a_worker_cannot_talk_its_length_away() -> None:
    evil = b"HTTP/1.1 200 OK\r\nConnection: content-length, x\r\nX: 1\r\nContent-Length: 2\r\n\r\nok"

    async def work() -> None:
        async with scripted(answers(evil)) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            for _ in range(3):
                await client.send(GET)
                got = await client.response()
                assert (got.body, got.whole, got.values(b"content-length")) == (b"ok", True, [b"2"])

    run(work())


def test_metrics_that_make_no_sense_are_not_taken() -> None:
    assert read_report(b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 1e999\n", None)[:3] == (
        None,
        None,
        None,
    )
    assert read_report(b'vllm:num_requests_running{a="b"} 1.2.3\nvllm:kv_cache_usage_perc -e+\n', None)[1] is None
    huge = b"vllm:num_requests_running 1e300\n"
    huge += b'vllm:cache_config_info{block_size="999999999999",num_gpu_blocks="999999999999"} 1\n'

    async def work() -> None:
        async with scripted(mixed) as worker, routed(worker) as server:
            about = server.router.fleet.workers[0]
            worker.metrics = answers(whole(huge))
            await until(lambda: about.reported.foreign_requests > 0)
            assert (await ask(server, PLAIN)).status == 200
            for garbage in (b"\xff\x00" * 1000, b"vllm:num_requests_running{ e\n", huge.replace(b"300", b"999")):
                worker.metrics = answers(whole(garbage))
                await asyncio.sleep(0.25)
            worker.metrics = answers(whole(b'vllm:num_requests_running{engine="0"} 0\n'))
            await until(lambda: about.reported.foreign_requests == 0)  # its reports are still read

    run(work())


def test_an_answer_before_the_question_is_none() -> None:
    """It comes on an idle connection in the turn in which a request is to be sent there."""
    bench = Bench(few=0)
    client, transport = bench.client()
    client.data_received(PLAIN)
    bench.settle(client)
    upstream = bench.router.fleet.workers[0].pool.idle[0]
    client.data_received(PLAIN)
    bench.router.dispatcher._decide()
    upstream.data_received(whole(b"<evil>"))
    bench.settle(client)
    first, second = responses_in(bytes(transport.written), [b"POST", b"POST"], closed=False)
    assert first[2] == second[2] == b"ok" and len(bench.asked) == 2
    assert (
        bench.router.fleet.workers[0].counts.errors_total == 0
        and upstream not in bench.router.fleet.workers[0].pool.idle
    )
