"""The process that evaluates: it works, it may be killed, it goes with its parent, and the router does not wait."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from shadowprice.errors import RouterError
from shadowprice.fleet import StepTime
from shadowprice.router.shadow.runner import LONGEST_S, ShadowRunner
from shadowprice.router.shadow.score import ShadowSetting
from shadowprice.routing.policies import POLICIES
from tests.router.finished_requests import chat, finished

LOCKSTEP = ShadowSetting(4, 16, StepTime(0.02, 0.0, 1e-7, 0.0), lockstep=True, active="bf_io")
APART = ShadowSetting(2, 64, StepTime(6e-3, 1e-5, 4e-8, 2e-5), lockstep=False, active="least_kv")
PATIENCE_S = 300  # compiling may be due


@pytest.fixture
def runner() -> Iterator[ShadowRunner]:
    runner = ShadowRunner(needed=50, kept=200, every_s=10.0)
    yield runner
    runner.close()


def until(done: Callable[[], bool], step: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "nothing came in time"
        step()
        time.sleep(0.02)


def test_requests_come_in_and_scores_come_out(runner: ShadowRunner) -> None:
    rows = finished(chat(120))
    for row in rows[:49]:
        runner.add(row)
    runner.add(msgspec.structs.replace(rows[49], output_tokens=0, stop="refused"))
    runner.tick(LOCKSTEP, 0.0)
    shown = runner.to_json()
    assert (shown["state"], shown["requests"], shown["needed"]) == ("collecting", 49, 50)
    assert shown["left_out_total"] == 1
    assert runner.process_id is None
    for row in rows[50:]:
        runner.add(row)
    spent_s = -time.thread_time()
    runner.tick(LOCKSTEP, 1.0)
    spent_s += time.thread_time()
    assert runner.to_json()["state"] == "evaluating"
    assert os.getpriority(os.PRIO_PROCESS, 0) <= 19
    until(lambda: runner.to_json()["state"] == "ready", lambda: runner.tick(LOCKSTEP, 2.0))
    shown = runner.to_json()
    assert shown["requests"] == 119
    assert [row["policy"] for row in shown["rows"]] == list(POLICIES)
    assert [row["policy"] for row in shown["rows"] if row["active"]] == ["bf_io"]
    assert shown["measured"]["ttft_p50_s"] == pytest.approx(0.2)
    assert shown["model_error"]["ttft_p50_s"] is not None
    assert os.getpriority(os.PRIO_PROCESS, runner.process_id) == 19
    assert spent_s < shown["took_s"] + 0.5  # a tick hands the work over
    # not due again before 11 s; then of the other fleet
    runner.tick(APART, 10.9)
    assert runner.evaluations_total == 1
    runner.tick(APART, 11.1)
    until(lambda: runner.evaluations_total == 2, lambda: runner.tick(APART, 12.0))
    assert runner.to_json()["active"] == "least_kv"
    assert "independent replicas" in runner.to_json()["model"]


def test_only_the_last_are_kept(runner: ShadowRunner) -> None:
    for row in finished(chat(300)):
        runner.add(row)
    assert runner.to_json()["requests"] == 200


def test_a_killed_process_is_replaced_and_the_last_result_stays(runner: ShadowRunner) -> None:
    for row in finished(chat(100)):
        runner.add(row)
    runner.tick(LOCKSTEP, 0.0)
    os.kill(runner.process_id, signal.SIGKILL)  # while it starts or evaluates
    until(lambda: runner.crashes_total == 1, lambda: runner.tick(LOCKSTEP, 1.0))
    assert "died" in runner.to_json()["last_error"]
    assert runner.to_json()["state"] == "collecting"
    until(lambda: runner.evaluations_total == 1, lambda: runner.tick(LOCKSTEP, 20.0))
    first, shown = runner.process_id, runner.to_json()
    assert shown["state"] == "ready" and shown["last_error"] == ""
    os.kill(first, signal.SIGKILL)  # while it idles
    until(lambda: runner.crashes_total == 2, lambda: runner.tick(LOCKSTEP, 40.0))
    assert runner.to_json()["rows"] == shown["rows"]
    until(lambda: runner.evaluations_total == 2, lambda: runner.tick(LOCKSTEP, 60.0))
    assert runner.process_id != first


def test_an_evaluation_that_hangs_is_ended_and_tried_again(runner: ShadowRunner) -> None:
    for row in finished(chat(100)):
        runner.add(row)
    runner.tick(LOCKSTEP, 0.0)
    hung = runner.process_id
    os.kill(hung, signal.SIGSTOP)
    runner.tick(LOCKSTEP, LONGEST_S)
    assert runner.process_id == hung
    runner.tick(LOCKSTEP, LONGEST_S + 1)
    assert "nothing came of an evaluation" in runner.to_json()["last_error"] and not alive(hung)
    until(lambda: runner.evaluations_total == 1, lambda: runner.tick(LOCKSTEP, LONGEST_S + 20))
    assert (runner.crashes_total, runner.last_error) == (1, "")


def test_an_evaluation_that_fails_is_said_and_tried_again(runner: ShadowRunner) -> None:
    for row in finished(chat(100)):
        runner.add(row)
    none = ShadowSetting(2, 0, APART.step_time, lockstep=False, active="random")
    runner.tick(none, 0.0)
    until(lambda: runner.last_error != "", lambda: runner.tick(none, 1.0))
    assert "PolicyError: 2 workers of 0 slots" in runner.last_error
    # memory less than what was served: then it was believed wrong
    small = ShadowSetting(2, 4, APART.step_time, lockstep=False, active="random", kv_tokens=64)
    until(lambda: runner.evaluations_total == 1, lambda: runner.tick(small, 20.0))
    assert runner.crashes_total == 0 and runner.last_error == ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


PARENT = """
import time
from shadowprice.router.shadow.runner import LONGEST_S, ShadowRunner
from tests.router.finished_requests import chat, finished
from tests.router.shadow.test_runner import LONGEST_S, LOCKSTEP
if __name__ == "__main__":
    runner = ShadowRunner(needed=50)
    for row in finished(chat(100)): runner.add(row)
    runner.tick(LOCKSTEP, 0.0)
    while runner.evaluations_total == 0:
        time.sleep(0.05)
        runner.tick(LOCKSTEP, 1.0)
    print(runner.process_id, flush=True)
    time.sleep(600)
"""


def test_the_process_ends_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not alive(child))


def test_close_ends_the_process_at_once(runner: ShadowRunner) -> None:
    for row in finished(chat(100)):
        runner.add(row)
    runner.tick(LOCKSTEP, 0.0)
    child = runner.process_id
    assert alive(child)
    runner.close()
    assert not alive(child)
    runner.close()


def test_more_needed_than_kept_is_refused() -> None:
    with pytest.raises(RouterError, match="needs 10 requests and keeps 5"):
        ShadowRunner(kept=5, needed=10)
