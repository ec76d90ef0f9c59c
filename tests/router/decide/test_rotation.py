"""Idle workers that are alike take turns, and nothing else of a decision changes."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowprice.router.decide.rotation import Rotation
from tests.router.live import GET, ask, post, routed, run, until
from tests.router.scripted_worker import ScriptedWorker, answers, completion, scripted

KINDS = st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=8)


@given(st.data(), KINDS, st.integers(0, 7))
def test_idle_workers_are_swapped_for_alike_ones_and_nobody_else(
    data: st.DataObject, kinds: list[str | None], turns: int
) -> None:
    rotation = Rotation()
    for _ in range(turns + 1):
        answer = data.draw(st.lists(st.integers(-1, len(kinds) - 1), max_size=10))
        turned = rotation.turned(answer, kinds)
    swaps = {(g, h) for g, h in zip(answer, turned, strict=True)}
    assert len(swaps) == len({g for g, _ in swaps}) == len({h for _, h in swaps})  # who was together stays together
    assert all(kinds[g] == kinds[h] if g >= 0 and kinds[g] is not None else g == h for g, h in swaps)


def test_one_request_at_a_time_goes_round() -> None:
    rotation = Rotation()
    kinds = [(5, 5), (5, 5), None, (5, 5), (9, 9)]
    assert [rotation.turned([0], kinds) for _ in range(4)] == [[0], [1], [3], [0]]
    assert rotation.turned([1, 4, 1, 2, 0], kinds) == [1, 4, 1, 2, 0]
    assert [rotation.least([0, 1, 0, 0], [True, True, False, True]) for _ in range(3)] == [3, 0, 3]


@pytest.mark.parametrize("policy", ["bf_io", "least_kv", "priced_holes", "round_robin", "vllm_internal"])
def test_a_quiet_fleet_works_by_turns(policy: str) -> None:
    async def work() -> None:
        async with (
            scripted(answers(completion())) as a,
            scripted(answers(completion())) as b,
            scripted(answers(completion())) as c,
            routed(a, b, c, policy=policy) as server,
        ):
            workers: list[ScriptedWorker] = [a, b, c]
            for _ in range(9):
                assert (await ask(server, post(b'{"prompt":"hello"}'))).status == 200
                await until(lambda: not server.router.active)
            assert [len(worker.calls) for worker in workers] == [3, 3, 3]
            for _ in range(6):
                await ask(server, GET)
                await asyncio.sleep(0)
            assert Counter(len(worker.calls) for worker in workers) == {5: 3}

    run(work())
