"""Deciding one at a time: never two at once, and nobody waits for one that is dead or stands still."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from shadowprice.router.turns import LONGEST_S, Turns

HOLDER = """
import sys, time
from shadowprice.router.turns import Turns
assert Turns(sys.argv[1]).take()
print("has it", flush=True)
time.sleep(60)
"""


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test_{os.getpid()}"
    yield name
    Turns(name).close()


def test_one_at_a_time(name: str) -> None:
    one, two = Turns(name), Turns(name)
    assert one.take() and not two.take()
    one.end()
    assert two.take() and not one.take()


def test_one_that_stands_still_is_waited_for_only_so_long(name: str) -> None:
    one, two = Turns(name), Turns(name)
    assert one.take() and not two.take()
    time.sleep(LONGEST_S)
    assert two.take()
    two.end()
    assert not two.take()  # and next time again
    one.end()
    assert two.take()


def test_the_turn_of_a_process_that_is_killed_is_over(name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "has it\n"
        turns = Turns(name)
        assert not turns.take()
        holder.kill()
    assert turns.take()
