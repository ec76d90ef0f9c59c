"""After an installation the router serves at once by a plain rule, and changes over when what decides is compiled."""

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowprice.errors import RouterError
from shadowprice.router.decide import first_run
from shadowprice.router.decide.first_run import FirstRun
from shadowprice.router.decide.least_kv import PLAIN_LEAST_KV
from shadowprice.routing.policies import make
from shadowprice.routing.surface import Pending, Workers
from tests.router.live import GET, ask, routed, run, until
from tests.router.own_process import router, stats
from tests.router.scripted_worker import answers, completion, scripted

OK = answers(completion())
COMPILES_WITHIN_S = 240.0  # however busy the machine is
PLAIN = PLAIN_LEAST_KV.name


@pytest.mark.skipif(sys.platform != "linux", reason="several processes share a port as Linux has it")
@pytest.mark.parametrize("flags", [("--shadow",), ("--no-shadow", "--processes", "2")], ids=["shadow", "processes"])
def test_a_fresh_installation_answers_before_anything_is_compiled_and_loses_nothing(
    flags: Sequence[str], tmp_path: Path
) -> None:
    """A real router with no compiled kernel on the disk: every request is answered, before, during and after."""
    answered: dict[str, int] = {}

    async def work() -> None:
        async with (
            scripted(OK) as one,
            scripted(OK) as two,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            router(
                "--worker-urls", one.url, two.url, "--policy", "round_robin", *flags, NUMBA_CACHE_DIR=str(tmp_path)
            ) as (_, url, dashboard),
        ):
            end_s = time.monotonic() + COMPILES_WITHIN_S
            while answered.get("round_robin", 0) < 50:
                state = await stats(session, dashboard)
                async with session.post(f"{url}/v1/completions", json={"prompt": "x"}) as response:
                    assert response.status == 200
                deciding = {process["decides"] for process in state["processes"]}
                decides = "round_robin" if deciding == {"round_robin"} else PLAIN
                answered[decides] = answered.get(decides, 0) + 1
                told = {"state": "compiling" if state["kernels"]["decides"] == PLAIN else "compiled", "error": ""}
                assert told.items() <= state["kernels"].items()
                assert time.monotonic() < end_s
            assert len(one.calls) + len(two.calls) == sum(answered.values())

    run(work(), seconds=COMPILES_WITHIN_S)
    assert set(answered) == {PLAIN, "round_robin"} and answered[PLAIN] > 1
    assert next(tmp_path.rglob("compiled")).is_file()


def ends(*code: int) -> Any:
    """In place of the process that compiles: one that ends so; none given: one that does not."""

    def start(policy: str, settings: object) -> Any:
        target, arguments = (os._exit, code) if code else (time.sleep, (60,))
        process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    return start


def test_a_compilation_that_fails_is_told_and_the_plain_rule_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FirstRun, "is_compiled", staticmethod(lambda policy: False))
    monkeypatch.setattr(first_run, "_start", ends(3))

    async def work() -> None:
        async with scripted(OK) as worker, routed(worker, wait_for_kernels=False) as server:
            await until(lambda: server.control.snapshot()["kernels"]["state"] == "failed")
            assert (await ask(server, GET)).status == 200
            kernels = server.control.snapshot()["kernels"]
            assert kernels["decides"] == PLAIN and "exit code 3" in kernels["error"]
            with pytest.raises(RouterError, match="exit code 3; what decided before goes on"):
                await server.control.set_policy("least_kv")
            assert server.router.dispatcher.policy.name == "bf_io"

    run(work())
    assert "policy bf_io: the process that compiled ended with exit code 3" in capsys.readouterr().err


def test_another_policy_takes_over_while_the_first_is_still_being_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = {"least_kv"}
    monkeypatch.setattr(FirstRun, "is_compiled", staticmethod(compiled.__contains__))
    monkeypatch.setattr(first_run, "_start", ends())

    async def work() -> None:
        async with scripted(OK) as worker, routed(worker, wait_for_kernels=False) as server:
            dispatcher = server.router.dispatcher
            assert (await ask(server, GET)).status == 200 and dispatcher.decides.name == PLAIN
            await server.control.set_policy("least_kv")
            assert (await ask(server, GET)).status == 200 and dispatcher.decides.name == "least_kv"
            compiled.add("bf_io")  # what was asked for at the start must not take over again
            await until(lambda: server.first_run.to_json()["state"] == "compiled")
            assert (await ask(server, GET)).status == 200
            assert dispatcher.policy.name == dispatcher.decides.name == "least_kv"

    run(work())


def test_what_is_compiled_is_loaded_before_the_router_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FirstRun, "is_compiled", staticmethod(lambda policy: True))

    async def work() -> None:
        async with scripted(OK) as worker, routed(worker, wait_for_kernels=False) as server:
            assert server.control.snapshot()["kernels"] == {"state": "compiled", "error": "", "decides": "bf_io"}

    run(work())


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_plain_rule_decides_as_the_compiled_policy_does(data: st.DataObject) -> None:
    workers, waiting = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 12))

    def numbers(count: int, most: int) -> np.ndarray:
        return np.array(data.draw(st.lists(st.integers(0, most), min_size=count, max_size=count)), np.int64)

    prompts = numbers(waiting, 50) + 1
    opened = data.draw(st.none() | st.lists(st.booleans(), min_size=workers, max_size=workers).filter(any))
    speeds = data.draw(st.none() | st.lists(st.sampled_from((0.5, 1.0, 2.0)), min_size=workers, max_size=workers))
    view = Workers(
        *(numbers(workers, most) for most in (100, 3, 3, 100, 9)),
        open=None if opened is None else np.array(opened),
        speed=None if speeds is None else np.array(speeds),
    )
    pending = Pending(np.arange(waiting) * 1.0, prompts, np.full(waiting, -1), may_wait=data.draw(st.booleans()))
    expected = make("least_kv").assign(pending, view, 0.0)
    assert PLAIN_LEAST_KV.assign(pending, view, 0.0).tolist() == expected.tolist()
