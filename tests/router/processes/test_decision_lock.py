"""Deciding one at a time: never two at once, who presses most first, and nobody waits for one that stands still."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from shadowprice.router.processes.decision_lock import ALIVE_S, LONGEST_S, NUMBERS, DecisionLock

HOLDER = """
import sys, time
import numpy as np
from shadowprice.router.processes.decision_lock import NUMBERS, DecisionLock
assert DecisionLock(sys.argv[1], np.zeros((2, NUMBERS), np.int64), 1).take()
print("has it", flush=True)
time.sleep(60)
"""
Many = Callable[[int], list[DecisionLock]]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test_{os.getpid()}"
    yield name
    DecisionLock(name, np.zeros((1, NUMBERS), np.int64), 0).remove()


@pytest.fixture
def turns(name: str) -> Many:
    def of(processes: int) -> list[DecisionLock]:
        heads = np.zeros((processes, NUMBERS), np.int64)
        return [DecisionLock(name, heads, own) for own in range(processes)]

    return of


def test_one_at_a_time(turns: Many) -> None:
    one, two = turns(2)
    assert one.take() and not two.take()
    one.end(None)
    assert two.take() and not one.take()


def test_one_that_stands_still_is_waited_for_only_so_long(turns: Many) -> None:
    one, two = turns(2)
    assert one.take() and not two.take()
    time.sleep(LONGEST_S)
    assert two.take()
    two.end(None)
    assert not two.take()  # and next time again
    one.end(None)
    assert two.take()


def test_the_turn_of_a_process_that_is_killed_is_over(name: str, turns: Many) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "has it\n"
        (own,) = turns(1)
        assert not own.take()
        holder.kill()
    assert own.take()


def test_room_goes_first_to_who_presses_most_and_then_to_the_others(turns: Many) -> None:
    one, two, three = turns(3)
    now_s = time.monotonic()
    one.end((0, now_s - 3.0))
    two.end((0, now_s - 2.0))
    three.end((1, now_s - 9.0))  # less urgent, however long it has waited
    two.room_was_made()
    assert not two.is_first((0, now_s - 2.0)) and not three.is_first((1, now_s - 9.0))
    assert one.is_first((0, now_s - 3.0))
    one.end((0, now_s - 3.0))  # it has looked: what is left it has no use for
    assert two.is_first((0, now_s - 2.0)) and not three.is_first((1, now_s - 9.0))
    two.end(None)
    assert three.is_first((1, now_s - 9.0))


def test_who_has_long_not_looked_is_not_waited_for(turns: Many) -> None:
    one, two = turns(2)
    now_s = time.monotonic()
    one.end((0, now_s - 3.0))
    two.room_was_made()
    assert not two.is_first((0, now_s))
    time.sleep(ALIVE_S)
    assert two.is_first((0, now_s))
