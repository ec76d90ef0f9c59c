"""What an operator reads where the router was started."""

import pytest

from shadowprice.router.fleet.worker import DRAINING, EJECTED, PROBING, UP, LiveWorker
from shadowprice.router.terminal import States


def test_a_worker_that_goes_down_or_comes_up_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    worker, other = LiveWorker("http://gpu1:8000", None, 1), LiveWorker("http://gpu2:8000", None, 1)
    states = States()

    def told(state: str, reason: str = "") -> str:
        worker.state, worker.reason = state, reason
        states.tell([worker, other])
        return capsys.readouterr().err

    assert told(PROBING, "not yet probed") == ""
    assert told(UP) == ""  # as expected
    assert told(EJECTED, "nothing listens") == "worker     http://gpu1:8000: ejected, nothing listens\n"
    assert told(EJECTED, "nothing listens") == ""
    assert told(PROBING, "answers again") == "worker     http://gpu1:8000: probing, answers again\n"
    assert told(UP) == "worker     http://gpu1:8000: up\n"
    assert told(DRAINING, "removed") == ""


def test_a_worker_that_fails_its_trials_again_and_again_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    worker, states = LiveWorker("http://gpu1:8000", None, 1), States()
    for _ in range(3):
        for worker.state, worker.reason in ((EJECTED, "failed 3 times in a row"), (PROBING, "answers again")):
            states.tell([worker])
    assert capsys.readouterr().err == "worker     http://gpu1:8000: ejected, failed 3 times in a row\n"


def test_ranks_that_are_not_numbered_yet_are_not_down(capsys: pytest.CaptureFixture[str]) -> None:
    States().tell([LiveWorker("http://node:8000", 0, 8)])
    assert capsys.readouterr().err == ""


def test_memory_is_told_once_for_all_that_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    workers = [LiveWorker(f"http://w{k}:1", None, 1) for k in range(4)]
    states = States()
    states.tell_memory(workers, None)  # nothing is known yet
    for worker in workers[:3]:
        worker.reported.kv_capacity_tokens, worker.reported.kv_capacity_source = 463_459, "kv_cache_size_tokens"
    workers[3].reported.kv_capacity_source = "not known: blocks of a hybrid model do not tell"
    for _ in range(2):
        states.tell_memory(workers, None)
    assert capsys.readouterr().err.splitlines() == [
        "memory     3 workers: cap of 463,459 KV tokens each (kv_cache_size_tokens)",
        "memory     http://w3:1: no cap on KV tokens (not known: blocks of a hybrid model do not tell)",
    ]
    States().tell_memory(workers, 100_000)  # who gave a cap knows it
    assert not capsys.readouterr().err
