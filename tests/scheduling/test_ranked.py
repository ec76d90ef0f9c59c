"""What a ranked policy is made of: levels at which keys move, and parameters that are refused."""

from dataclasses import replace

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Gate, Levels, Ranked, Requests

WORKER = Worker(StepTime(0.01, 0.0, 0.0, 0.0))


def requests(made: list[int]) -> Requests:
    generated = np.array(made)
    zeros = np.zeros(len(made), np.int64)
    return Requests(zeros * 1.0, zeros + 10, zeros + 99, generated, zeros, zeros)


@pytest.mark.parametrize(
    ("levels", "starts"),
    [
        (Levels(16), [0, 16, 32, 48, 64, 80, 96, 112]),
        (Levels(16, 2.0), [0, 16, 48, 112]),
        (Levels(1, 1.5), [0, 1, 2, 4, 8, 13, 20, 32, 49, 74, 113]),
        (Levels(200), [0]),
    ],
)
def test_levels_begin_where_they_say(levels: Levels, starts: list[int]) -> None:
    assert levels.up_to(113).tolist() == [start for start in starts if start <= 113]
    made = np.arange(114)
    assert levels.reached(made).tolist() == [max(start for start in starts if start <= k) for k in made]


def test_a_moving_key_stands_still_within_a_level() -> None:
    policy = Ranked("made", lambda seen, worker: seen.generated_tokens * 1.0, levels=Levels(8))
    assert policy.keys(requests([0, 7, 8, 15, 16, 99]), WORKER).tolist() == [0, 0, 8, 8, 16, 96]


@pytest.mark.parametrize(("step", "growth"), [(0, 1.0), (2.5, 1.0), (4, 0.5), (4, np.inf), (4, np.nan)])
def test_impossible_levels_are_refused(step: int, growth: float) -> None:
    with pytest.raises(PolicyError, match="expected both to be at least 1"):
        Levels(step, growth)


@pytest.mark.parametrize("answer", [np.array([1.0]), np.array([[1.0, 2.0]]), np.array([1.0, np.nan]), 3.0])
def test_a_key_that_is_no_number_for_each_request_is_refused(answer: object) -> None:
    with pytest.raises(PolicyError, match="policy odd: its key must give one number per request, and no NaN"):
        Ranked("odd", lambda seen, worker: answer).keys(requests([0, 0]), WORKER)


def test_headroom_and_the_door_change_the_gate_and_nothing_of_the_order() -> None:
    policy = POLICIES["priced_work"]()
    grown, door = policy.with_headroom(9), policy.at_the_door(60.0)
    assert (grown.gate, grown.headroom, grown.name) == (Gate.HEADROOM, 9, "priced_work + headroom")
    assert (door.gate, door.max_wait_s) == (Gate.OPTIMISTIC, 60.0)
    assert replace(grown, name="x", gate=Gate.OPTIMISTIC, headroom=0, words="") == replace(
        door, name="x", max_wait_s=np.inf, words=""
    )
