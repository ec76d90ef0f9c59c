"""What waits is served in the order of the scheduling policy, and nobody waits for ever."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shadowprice.fleet import StepTime, Worker
from shadowprice.router.decide.queue_order import TENANTS, QueueOrder
from tests.router.live import ask, post, routed, run
from tests.router.one_at_a_time import named, queued, served_in_turn, when_told
from tests.router.scripted_worker import answers, completion, scripted, whole


def due(name: str, *, header_s: bytes = b"", body_s: float | None = None) -> bytes:
    """A request with a deadline, in a header, in its body, or in both."""
    said = b"" if body_s is None else b',"deadline_s":%g' % body_s
    request = post(b'{"prompt":"%b"%b}' % (name.encode(), said))
    return request.replace(b"\r\n", b"\r\nX-Deadline-S: " + header_s + b"\r\n", 1) if header_s else request


def test_urgent_requests_go_first_and_the_least_urgent_is_refused() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "queue_size": 4, "scheduling_policy": "priority"}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            tasks = await queued(
                server, [named("first"), named("p5", 5), named("p1", 1), named("p9", 9), named("p3", 3)]
            )
            more = asyncio.ensure_future(ask(server, named("p0", 0)))
            assert (await tasks.pop(3)).status == 429
            assert await served_in_turn(worker, turns, [*tasks, more]) == [b"first", b"p0", b"p1", b"p3", b"p5"]

    run(work())


def test_who_has_the_least_slack_goes_first_said_in_a_header_or_the_body() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "scheduling_policy": "least_slack"}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            requests = [named("first"), named("plain"), due("loose", body_s=900), due("tight", header_s=b"20")]
            requests += [due("vague", header_s=b"soon"), due("twice", header_s=b"50", body_s=1)]
            tasks = await queued(server, requests)
            order = [b"first", b"tight", b"twice", b"loose", b"plain", b"vague"]
            assert await served_in_turn(worker, turns, tasks) == order

    run(work())


def test_who_has_waited_long_enough_goes_before_the_urgent() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "scheduling_policy": "priority", "max_wait_s": 0.3}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            tasks = await queued(server, [named("first"), named("patient", 9)])
            await asyncio.sleep(0.35)
            tasks += await queued(server, [named("urgent", 0)])
            assert await served_in_turn(worker, turns, tasks) == [b"first", b"patient", b"urgent"]

    run(work())


def test_two_tenants_share_however_much_one_of_them_asks() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "scheduling_policy": "vtc"}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            requests = [named(f"greedy{i}", tenant="greedy") for i in range(12)]
            requests += [named(f"modest{i}", tenant="modest") for i in range(4)]
            tasks = await queued(server, requests)
            order = await served_in_turn(worker, turns, tasks)
            assert [name[:6] for name in order[1:9]].count(b"modest") == 4  # half of what was served while both waited

    run(work())


def test_what_is_tried_again_counts_once_for_its_tenant() -> None:
    async def work() -> None:
        twice = {"policy": "round_robin", "scheduling_policy": "vtc"}
        async with (
            scripted(answers(whole(b"oh", "500 Oh"))) as bad,
            scripted(answers(completion(10, 4))) as good,
            routed(bad, good, **twice) as server,
        ):
            assert (await ask(server, post(b'{"prompt":[1,2,3,4,5,6,7,8,9,0]}'))).status == 200
            assert len(bad.calls) == len(good.calls) == 1
            assert server.router.dispatcher.order._given.tolist() == [[10], [4]]

    run(work())


def test_what_a_tenant_had_while_nobody_else_asked_is_not_held_against_it() -> None:
    async def work() -> None:
        turns = asyncio.Semaphore(20)
        limits: dict[str, Any] = {"max_num_seqs": 1, "scheduling_policy": "vtc"}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits) as server:
            for _ in range(20):
                await ask(server, named("alone", tenant="first"))
            worker.calls.clear()
            requests = [named(f"first{i}", tenant="first") for i in range(9)]
            requests += [named(f"later{i}", tenant="later") for i in range(8)]
            tasks = await queued(server, requests)
            order = await served_in_turn(worker, turns, tasks)
            assert [name[:5] for name in order[1:9]].count(b"later") in (4, 5)

    run(work())


def test_tenants_by_the_thousand_are_forgotten_when_they_are_gone() -> None:
    order = QueueOrder("vtc", 30.0)
    model = Worker(StepTime(0.02, 0.0, 1e-7, 0.0))
    for tenant in range(3 * TENANTS):
        one = SimpleNamespace(arrival_s=float(tenant), prompt_tokens=100, tenant=tenant, priority=0)
        assert order.ordered([one], model, float(tenant)) == [one]
        order.note_start(one)
        order.note_end(one, 50)
        if order.crowded:
            order.forget({tenant})
        assert len(order._tenants) <= 2 * TENANTS
    left = order.ordered(
        [
            SimpleNamespace(arrival_s=1e6 + k, prompt_tokens=100, tenant=tenant, priority=0)
            for k, tenant in enumerate([3 * TENANTS - 1, 0])
        ],
        model,
        1e6,
    )
    assert [one.tenant for one in left] == [0, 3 * TENANTS - 1]  # who came last is still known


@pytest.mark.parametrize("most", [0, 20, 60])
def test_nobody_is_passed_over_more_often_than_was_set(most: int) -> None:
    """The large one would have to wait until all small ones are gone."""

    async def work() -> None:
        turns = asyncio.Semaphore(0)
        limits: dict[str, Any] = {"max_num_seqs": 1, "policy": "bf_io", "queue_size": 1000, "pool": 8}
        async with scripted(when_told(turns)) as worker, routed(worker, **limits, most_passes=most) as server:
            tasks = await queued(server, [named("x"), named("L" * 4000), *(named(f"s{i}") for i in range(80))])
            order = await served_in_turn(worker, turns, tasks)
            assert order.index(b"L" * 4000) == most + 1

    run(work())
