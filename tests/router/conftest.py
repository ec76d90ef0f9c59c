"""Compiled kernels before the first test, a replayed run made once, and a browser with the admin port to look at."""

import copy
import fcntl
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver

from shadowprice.router.decide.first_run import load
from shadowprice.router.settings import Settings
from tests.router.browser import Served, chromium, complaints, look_as, requested
from tests.router.dashboard_page import Serve
from tests.router.replay import ReplayControl


@pytest.fixture(scope="session", autouse=True)
def kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile them outside of every test's time limit, and in one of the processes that test side by side."""
    with open(tmp_path_factory.getbasetemp().parent / "kernels.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        load(Settings.policy, Settings())


@pytest.fixture(scope="session")
def one_run() -> ReplayControl:
    return ReplayControl(moving=False)


@pytest.fixture
def replayed(one_run: ReplayControl) -> ReplayControl:
    """The run with a control state of its own."""
    control = copy.copy(one_run)
    control.names, control.states, control.removed = list(one_run.names), list(one_run.states), []
    return control


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(opened: webdriver.Chrome) -> webdriver.Chrome:
    """The browser at an empty page, its logs read."""
    opened.get("about:blank")
    look_as(opened, 1280, 800)
    requested(opened)
    complaints(opened)
    return opened


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Served] = []

    def start(control: ReplayControl, **how: Any) -> Served:
        running.append(Served(control, **how))
        return running[-1]

    yield start
    for served in running:
        served.stop()
