"""Deciding one at a time: never two at once, and nobody waits for one that is dead or stands still."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from shadowprice.router.turns import LONGEST_S, Turns


def _takes(name: str, told: Connection) -> None:
    assert Turns(name).take()
    told.send("has it")
    time.sleep(60)


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
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_takes, args=(name, theirs))
    process.start()
    turns = Turns(name)
    assert ours.recv() == "has it" and not turns.take()
    process.kill()
    process.join()
    assert turns.take()
