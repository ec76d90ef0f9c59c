"""A replayed run, standing still, made once."""

import copy

import pytest

from tests.router.replay import ReplayControl


@pytest.fixture(scope="session")
def one_run() -> ReplayControl:
    return ReplayControl(moving=False)


@pytest.fixture
def replayed(one_run: ReplayControl) -> ReplayControl:
    """The run with a control state of its own."""
    control = copy.copy(one_run)
    control.names, control.states, control.removed = list(one_run.names), list(one_run.states), []
    return control
