"""What the router knows of the load: exact, however the stream is cut, and none left when all is over."""

import asyncio
import random
from typing import Any

import pytest

from shadowprice.router.deadlines import TICK_S
from shadowprice.router.openai.body import UNLIMITED, Ask, read_body
from shadowprice.router.openai.prompt_size import PRIOR_BYTES_PER_TOKEN, PromptSize
from tests.router.live import GET, RawClient, ask, nothing_left, post, routed, run, streamed, until
from tests.router.scripted_worker import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    TOKEN,
    Call,
    answers,
    chunk,
    completion,
    resets_after,
    scripted,
    stops_after,
    streams,
    whole,
)

NO_TEXT = memoryview(b"")


def test_a_prompt_is_sized_by_its_ids_or_by_bytes_at_the_ratio_that_usage_taught() -> None:
    async def work() -> None:
        async with scripted(answers(completion(prompt_tokens=1000))) as worker, routed(worker) as server:
            size = server.router.prompt_size
            assert size.tokens(Ask(400, False, 0, UNLIMITED, False, 0, ""), NO_TEXT) == 100
            for _ in range(80):
                assert (await ask(server, post(b'{"prompt":"%b"}' % (b"a" * 1998)))).status == 200
            assert size.bytes_per_token == pytest.approx(2.0, rel=0.1)
            assert size.tokens(Ask(400, False, 7, UNLIMITED, False, 0, ""), NO_TEXT) == 7
            total = server.router.fleet.workers[0].counts
            assert (total.prompt_tokens_total, total.generated_tokens_total) == (80_000, 240)

    run(work())


def test_ids_do_not_teach_and_a_learned_ratio_stays_finite() -> None:
    size = PromptSize(None)
    before = size.bytes_per_token
    size.learn(Ask(5, False, 2, UNLIMITED, False, 0, ""), 2)
    size.learn(Ask(0, False, 0, UNLIMITED, False, 0, ""), 50)
    assert size.bytes_per_token == before
    size.learn(Ask(1, False, 0, UNLIMITED, False, 0, ""), 10**12)
    assert size.tokens(Ask(10**6, False, 0, UNLIMITED, False, 0, ""), NO_TEXT) >= 1


def test_images_in_a_prompt_are_no_text_and_teach_nothing() -> None:
    picture = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}' % (b"iVBORw0K" * 50_000)
    words = b'{"type":"text","text":"what is this?"}'
    body = b'{"messages":[{"role":"user","content":[%b,%b,%b]}],"stream":true}' % (picture, words, picture)
    asked, prompt = read_body(body)
    assert asked.embeds and asked.stream and len(prompt) > 800_000
    assert 150 < asked.text_bytes < 300
    size = PromptSize(None)
    assert size.tokens(asked, prompt) < 100
    size.learn(asked, 2000)  # most of them of the pictures
    assert size.bytes_per_token == PRIOR_BYTES_PER_TOKEN


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        (b'"max_tokens":7', 7),
        (b'"max_completion_tokens":9,"max_tokens":null', 9),
        (b'"max_output_tokens":3', 3),
        (b'"max_tokens":"7"', UNLIMITED),
        (b'"max_tokens":-1', UNLIMITED),
        (b'"max_tokens":1e3', UNLIMITED),
        (b'"n":1', UNLIMITED),
        (b'"sampling_params":{"max_new_tokens":5}', 5),
        (b'"sampling_params":{"max_tokens":5,"n":2},"max_tokens":7', 5),
        (b'"sampling_params":{"max_tokens":"5"}', UNLIMITED),
        (b'"sampling_params":[1]', UNLIMITED),
    ],
)
def test_the_longest_answer_that_is_asked_for_is_read(fields: bytes, most: int) -> None:
    assert read_body(b'{"prompt":"a",%b}' % fields)[0].most_tokens == most


@pytest.mark.parametrize(
    ("body", "prompt", "ids"),
    [
        (b'{"token_ids":[1, 2,3],"sampling_params":{"max_tokens":5}}', b"[1, 2,3]", 3),
        (b'{"text":null,"input_ids":[1,2,3]}', b"[1,2,3]", 3),
        (b'{"query":"q","documents":["a","b"],"top_n":1}', b'"q"["a","b"]', 0),
        (b'{"queries":["q"],"documents":"a"}', b'["q"]"a"', 0),
        (b'{"text_2":"a","text_1":"q"}', b'"q""a"', 0),
        (b'{"data_1":"q","data_2":{"content":[{"text":"a"}]}}', b'"q"{"content":[{"text":"a"}]}', 0),
        (b'{"query":[1,2],"items":[[3],[4,5]],"label_token_ids":[6]}', b"[1,2][[3],[4,5]]", 5),
        (b'{"messages":[{"content":"x"}],"system":"s"}', b'"s"[{"content":"x"}]', 0),
        (b'{"messages":[],"system":[{"type":"text","text":"s"}]}', b'[{"type":"text","text":"s"}][]', 0),
        (b'{"input":"x","instructions":"s"}', b'"s""x"', 0),
        (b'{"prompt":[1,2],"system":"s"}', b'"s"[1,2]', 0),
        (b'{"model":"m"}', b"", 0),
    ],
)
def test_a_prompt_has_all_its_parts(body: bytes, prompt: bytes, ids: int) -> None:
    asked, found = read_body(body)
    assert (asked.token_ids, asked.text_bytes, bytes(found)) == (ids, len(prompt), prompt)


@pytest.mark.parametrize("body", [b'{"prompt":";base64,"}', b'{"prompt":"a","image":";base64,AAAA"}', b'[";base64,"]'])
def test_what_is_embedded_anywhere_else_makes_no_size_negative(body: bytes) -> None:
    asked, prompt = read_body(body)
    assert asked.text_bytes >= 0 and PromptSize(None).tokens(asked, prompt) >= 1


def test_the_load_of_a_worker_follows_its_streams() -> None:
    async def answer(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for _ in range(3):
            await go.acquire()
            await call.send(chunk(TOKEN))
        await go.acquire()
        await call.send(chunk(DONE) + LAST_CHUNK)

    go = asyncio.Semaphore(0)

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(post(b'{"prompt":[1,2,3,4,5],"stream":true}'))

            def load() -> tuple[int, int, int, int]:
                return server.router.flights.loads()[0]

            await until(lambda: load() == (0, 1, 0, 5))
            for generated in (1, 2, 3):
                go.release()
                await until(lambda: load() == (1, 0, 5 + generated, 0))  # noqa: B023
            go.release()
            assert (await client.response()).whole
            await until(lambda: load() == (0, 0, 0, 0))

    run(work())


BODIES = [
    b'{"prompt":' + b"[" * 100_000,
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"user":"\xff\xfe"}',
    b'{"user":"\\ud800"}',
    b'{"priority":' + b"9" * 400 + b"}",
    b'{"priority":-1e308,"stream":1,"user":[],"prompt":null}',
    b'{"prompt":[' + b"1," * 5000 + b"1]}",
    b'{"deadline_s":1e999}',
    b'{"deadline_s":[true]}',
    b"\x00\xff",
    b"",
    b"[]",
]


@pytest.mark.parametrize("order", ["fcfs", "priority", "least_slack"])
def test_any_body_goes_to_the_worker(order: str) -> None:
    async def work() -> None:
        async with (
            scripted(answers(whole(b"ok"))) as worker,
            routed(worker, scheduling_policy=order, max_num_seqs=1) as server,
        ):
            got = await asyncio.gather(*(ask(server, post(body)) for body in BODIES * 2))
            assert all(one.status == 200 for one in got)
            assert sorted(call.body for call in worker.calls) == sorted(BODIES * 2)

    run(work())


ENDINGS = {
    b"/v1/completions": answers(completion()),
    b"/v1/chat/completions": answers(STREAM_HEAD + chunk(TOKEN) + chunk(DONE) + LAST_CHUNK),
    b"/v1/responses": resets_after(STREAM_HEAD + chunk(TOKEN)),
    b"/v1/messages": resets_after(b""),
    b"/v1/embeddings": answers(whole(b"{}", "500 Oh")),
    b"/v1/rerank": answers(whole(b"{}", "503 Busy")),
    b"/v1/score": answers(b"nonsense\r\n\r\n"),
    b"/generate": stops_after(STREAM_HEAD + chunk(TOKEN)),
    b"/pooling": stops_after(b""),
    b"/v1/other": answers(whole(b"x")),
}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_of_any_mix_of_endings(seed: int) -> None:
    random_ = random.Random(seed)

    async def answer(call: Call) -> None:
        await ENDINGS[call.target](call)

    async def one(server: Any) -> None:
        path = random_.choice(list(ENDINGS))
        client = await RawClient.to(server)
        await client.send(post(b'{"prompt":"abc"}', path) if random_.random() < 0.9 else GET.replace(b"/v1/x", path))
        if random_.random() < 0.3:
            await asyncio.sleep(random_.random() * 0.05)
        else:
            await client.response()
        client.leave()

    async def work() -> None:
        async with scripted(answer) as first, scripted(answer) as second:
            caps = {"max_num_seqs": 3, "queue_size": 5, "progress_timeout_s": 0.1, "queue_timeout_s": 0.4}
            async with routed(first, second, request_timeout_s=0.6, max_retries=1, **caps) as server:
                await asyncio.gather(*(one(server) for _ in range(150)))
                await until(lambda: nothing_left(server) and not server.router.door.clients)
                await until(lambda: server.router.flights.of_this_process == 0)  # what failed counts a little longer
                assert {worker.in_flight for worker in server.router.fleet.workers} == {0}

    run(work())


def test_a_stream_tells_the_step_time() -> None:
    async def answer(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for _ in range(40):
            await call.send(chunk(TOKEN))
            await asyncio.sleep(0.01)
        await call.send(LAST_CHUNK)

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            await ask(server, streamed())
            step_s = server.router.fleet.workers[0].steps.time_s
            assert step_s is not None and 0.005 < step_s < 1

    run(work())


def test_a_plain_request_is_taken_to_make_a_token_a_step_and_no_more_than_it_may() -> None:
    async def answer(call: Call) -> None:
        if b"stream" in call.body:
            await streams(40, gap_s=0.005)(call)
        else:
            await go.wait()
            await call.send(completion(5, 3))

    go = asyncio.Event()

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            await ask(server, streamed())
            plain = asyncio.ensure_future(ask(server, post(b'{"prompt":[1,2,3,4,5],"max_tokens":3}')))
            await until(lambda: server.router.flights.loads()[0] == (1, 0, 8, 0))
            await asyncio.sleep(3 * TICK_S)
            assert server.router.flights.loads()[0] == (1, 0, 8, 0)
            go.set()
            assert (await plain).whole

    run(work())
