"""The admin port over real sockets: what its routes show and change, and what they refuse."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from shadowprice.router.admin.metrics import exposition
from tests.router.admin_client import KEY, Client, refused, served
from tests.router.replay import NAMES, ReplayControl


def test_reads_answer_what_the_router_says(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        snapshot = replayed.snapshot()
        assert await (await client.get("/stats")).json() == snapshot
        assert await (await client.get("/history")).json() == replayed.history()
        assert await (await client.get("/shadow")).json() == replayed.shadow()
        assert (await (await client.get("/workers")).json())["workers"] == snapshot["workers"]
        assert await (await client.get("/list_workers")).json() == {"urls": list(NAMES)}
        assert await (await client.get("/policy")).json() == {"policy": "bf_io", "scheduling_policy": "fcfs"}
        metrics = await client.get("/metrics")
        assert metrics.content_type == "text/plain"
        assert await metrics.read() == exposition(snapshot)
        for path in ("/", "/dashboard"):
            assert (await client.get(path)).content_type == "text/html"

    served(replayed, work)


def test_history_after_a_time_is_what_came_since(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        whole = replayed.history()
        since = await (await client.get("/history", params={"after": repr(whole["t"][-3])})).json()
        assert since["workers"] == whole["workers"]
        assert {name: v for name, v in since.items() if name != "workers"} == {
            name: v[-2:] for name, v in whole.items() if name != "workers"
        }
        for odd in ("soon", "nan", "inf"):
            await refused(await client.get("/history", params={"after": odd}), 400, "invalid_time", repr(odd))

    served(replayed, work)


def test_health_tells_draining_from_serving(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        response = await client.get("/health")
        assert response.status == 200
        assert await response.json() == {"state": "serving", "workers": 8, "workers_up": 8}
        draining = replayed.snapshot() | {"state": "draining"}
        replayed.snapshot = lambda: draining  # type: ignore[method-assign]
        assert (await client.get("/health")).status == 503

    served(replayed, work)


def test_workers_come_and_go(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        new = "http://127.0.0.1:9001"
        response = await client.post("/workers", json={"url": new})
        assert (response.status, await response.json()) == (201, {"added": [new]})
        await refused(await client.post("/workers", json={"url": new + "/"}), 409, "worker_exists", new)
        await refused(await client.post("/workers", json={"url": "ftp://x"}), 400, "invalid_worker", "http://host:port")
        response = await client.delete(f"/workers/{quote(NAMES[2], safe='')}?drain=true")
        assert await response.json() == {"removed": [NAMES[2]], "drain": True}
        assert (await client.delete(f"/workers/{quote(NAMES[3], safe='')}?drain=false")).status == 200
        assert replayed.removed == [(NAMES[2], True), (NAMES[3], False)]
        await refused(await client.delete("/workers/nobody"), 404, "no_such_worker", "'nobody'", NAMES[0])
        odd = await client.delete(f"/workers/{quote(NAMES[0], safe='')}?drain=perhaps")
        await refused(odd, 400, "invalid_query", "'perhaps'", "true or false")

    served(replayed, work)


def test_the_ways_of_other_routers_do_the_same(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        new = "http://127.0.0.1:9002"
        assert (await client.post("/add_worker", params={"url": new})).status == 200
        assert new in (await (await client.get("/list_workers")).json())["urls"]
        assert (await client.post("/remove_worker", params={"url": new})).status == 200
        assert replayed.removed == [(new, True)]
        await refused(await client.post("/add_worker"), 400, "invalid_query", "url is None", "?url=http://host:port")
        await refused(await client.get("/add_worker", params={"url": new}), 405, "method_not_allowed", "POST")

    served(replayed, work)


def test_a_url_removes_all_of_its_ranks(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        replayed.names[:3] = ["http://h:1@0", "http://h:1@1", "http://h:1@10"]
        response = await client.delete(f"/workers/{quote('http://h:1@1', safe='')}?drain=true")
        assert (await response.json())["removed"] == ["http://h:1@1"]
        response = await client.post("/remove_worker", params={"url": "http://h:1", "drain": "0"})
        assert (await response.json())["removed"] == ["http://h:1@0", "http://h:1@1", "http://h:1@10"]
        await refused(await client.post("/workers", json={"url": "http://127.0.0.1:8005"}), 409, "worker_exists")

    served(replayed, work)


def test_the_policy_is_swapped(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        response = await client.put("/policy", json={"policy": "least_kv"})
        assert (await response.json())["policy"] == "least_kv"
        await refused(await client.put("/policy", json={"policy": "best"}), 400, "invalid_policy", "'best'", "least_kv")

    served(replayed, work)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("no JSON",)),
        (b"{", ("no JSON",)),
        (b"\xff\xfe", ("no JSON",)),
        (b"[]", ("the body is list",)),
        (b'{"policy": 3}', ("policy is 3",)),
        (b'{"policy": ""}', ("policy is ''",)),
        (b'{"policy": "bf_io", "force": true}', ("unknown fields force",)),
    ],
)
def test_bad_bodies_are_named(body: bytes, words: tuple[str, ...], replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        await refused(await client.put("/policy", data=body), 400, "invalid_body", *words, '{"policy": "..."}')

    served(replayed, work)


def test_a_large_body_is_refused(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        await refused(await client.put("/policy", data=b" " * 100_000), 413, "request_entity_too_large", "65536")

    served(replayed, work)


def test_unknown_routes_name_the_known(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        await refused(await client.get("/nothing"), 404, "not_found", "'/nothing'", "/workers")
        await refused(await client.get("/page/..%2fadmin.py"), 404, "no_such_file", "dashboard.js")

    served(replayed, work)


def test_a_failure_inside_is_an_error_and_is_logged(replayed: ReplayControl, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("inside")

    async def work(client: Client) -> None:
        replayed.shadow = broken  # type: ignore[method-assign]
        response = await client.get("/shadow", headers={"Authorization": f"Bearer {KEY}"})
        await refused(response, 500, "internal_error")
        assert "inside" not in await response.text()

    served(replayed, work, KEY)
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text


def test_concurrent_readers_all_get_whole_answers(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        async def read(session: ClientSession, path: str) -> int:
            async with session.get(client.make_url(path)) as response:
                return len(await response.json())

        async with ClientSession() as session:
            lengths = await asyncio.gather(*(read(session, path) for path in ("/stats", "/history") for _ in range(20)))
        assert set(lengths[:20]) == {len(replayed.snapshot())}
        assert set(lengths[20:]) == {len(replayed.history())}

    served(replayed, work)
