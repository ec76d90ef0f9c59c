"""Who belongs to which worker still does when others come and go."""

import asyncio
from collections.abc import Iterable

import pytest

from shadowprice.router.server import Server
from tests.router.live import ask, post, routed, run, until
from tests.router.scripted_worker import Call, ScriptedWorker, answers, completion, scripted

Where = dict[bytes, str]
SESSIONS = [b"X-Session-Id: s%d\r\n" % i for i in range(60)]
PREFIXES = [letter * 8192 for letter in (b"a", b"b", b"c")]


async def worker_of(server: Server, workers: list[ScriptedWorker], request: bytes) -> str:
    """The URL of who answered it."""
    before = {worker.url: len(worker.calls) for worker in workers}
    assert (await ask(server, request)).status == 200
    (found,) = [worker.url for worker in workers if len(worker.calls) > before[worker.url]]
    return found


async def by_session(server: Server, workers: list[ScriptedWorker]) -> Where:
    return {fields: await worker_of(server, workers, post(b'{"prompt":"a"}', fields=fields)) for fields in SESSIONS}


async def by_prompt(server: Server, workers: list[ScriptedWorker], prompts: Iterable[bytes]) -> Where:
    return {prompt: await worker_of(server, workers, post(b'{"prompt":"%b"}' % prompt)) for prompt in prompts}


async def change(server: Server, gone: str, new: str) -> None:
    """Take one away and add another, with no decision in between."""
    await server.control.remove_worker(gone, drain=False)
    await server.control.add_worker(new)
    await until(lambda: all(worker.reason != "not yet probed" for worker in server.router.fleet.workers))


def test_sessions_stay_when_the_first_worker_goes_and_come_back_with_it() -> None:
    async def work() -> None:
        quick = answers(completion())
        async with scripted(quick) as a, scripted(quick) as b, scripted(quick) as c, scripted(quick) as d:
            everyone = [a, b, c, d]
            async with routed(*everyone, policy="consistent_hash") as server:
                before = await by_session(server, everyone)
                assert set(before.values()) == {worker.url for worker in everyone}
                await server.control.remove_worker(a.url, drain=False)
                without = await by_session(server, everyone)
                assert without == {fields: without[fields] if url == a.url else url for fields, url in before.items()}
                await server.control.add_worker(a.url)
                assert await by_session(server, everyone) == before
            async with routed(*reversed(everyone), policy="consistent_hash") as other:
                assert await by_session(other, everyone) == before

    run(work())


def test_equal_prompts_without_a_session_meet_however_short() -> None:
    async def work() -> None:
        quick = answers(completion())
        async with (
            scripted(quick) as a,
            scripted(quick) as b,
            scripted(quick) as c,
            routed(a, b, c, policy="consistent_hash") as server,
        ):
            prompts = [b"", b"x" * 3000, *(b"question %d" % i for i in range(20))]
            first = await by_prompt(server, [a, b, c], prompts)
            assert set(first.values()) == {a.url, b.url, c.url}
            for _ in range(2):
                assert await by_prompt(server, [a, b, c], prompts) == first

    run(work())


@pytest.mark.parametrize(
    "settings", [{"policy": "cache_aware"}, {"policy": "bf_io", "prefill_kv_tokens": 1000.0}], ids=lambda s: s["policy"]
)
def test_prefixes_stay_with_their_workers_when_another_is_exchanged(settings: dict[str, object]) -> None:
    async def work() -> None:
        together = asyncio.Event()

        async def answer(call: Call) -> None:
            await together.wait()
            await call.send(completion(2048))

        async with scripted(answer) as a, scripted(answer) as b, scripted(answer) as c, scripted(answer) as d:
            everyone = [a, b, c, d]
            async with routed(a, b, c, **settings) as server:
                begun = [asyncio.ensure_future(ask(server, post(b'{"prompt":"%b"}' % prefix))) for prefix in PREFIXES]
                await until(lambda: a.running and b.running and c.running)
                together.set()
                await asyncio.gather(*begun)
                before = await by_prompt(server, everyone, reversed(PREFIXES))
                assert len(set(before.values())) == 3
                gone = before[PREFIXES[0]]
                await change(server, gone, d.url)
                after = await by_prompt(server, everyone, reversed(PREFIXES))
                assert after == before | {PREFIXES[0]: after[PREFIXES[0]]}
                assert after[PREFIXES[0]] != gone

    run(work())
