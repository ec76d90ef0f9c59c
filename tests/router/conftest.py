"""Compiled kernels before the first test, and a replayed run, standing still, made once."""

import asyncio
import copy
import fcntl

import pytest

from shadowprice.router.flight import Flights
from shadowprice.router.live_worker import LiveWorker
from shadowprice.router.router import Router
from shadowprice.router.settings import Settings
from tests.router.replay import ReplayControl


@pytest.fixture(scope="session", autouse=True)
def kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile them outside of every test's time limit, and in one of the processes that test side by side."""
    loop = asyncio.new_event_loop()
    router = Router(Settings(shadow=False), loop, Flights())
    router.add(LiveWorker("http://127.0.0.1:9", None, 1))
    with open(tmp_path_factory.getbasetemp().parent / "kernels.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        router.dispatcher.warm_up()
    loop.close()


@pytest.fixture(scope="session")
def one_run() -> ReplayControl:
    return ReplayControl(moving=False)


@pytest.fixture
def replayed(one_run: ReplayControl) -> ReplayControl:
    """The run with a control state of its own."""
    control = copy.copy(one_run)
    control.names, control.states, control.removed = list(one_run.names), list(one_run.states), []
    return control
