"""What a router does when a worker or a client fails: one function per fault, each with fresh workers and router.

Each takes a contestant's name and answers with what was seen. Sixteen clients send their next request when the last is
answered, to four workers that give a token every 5 ms; a plain request has 16 tokens, a stream 100.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from router.contestants import OURS, Running, router, split
from router.programs import BenchError, Row, finished_load, load, mock_workers, start_load, stats, wait_for
from router.separate import Separate, separate_workers

WORKERS, CLIENTS = 4, 16
STEP_US = 5000
RECOVERY_S = 15.0  # how long to wait for traffic to a worker that was started again
CLIENT_TIMEOUT_S = 10.0
PROGRESS_TIMEOUT_S = 3.0  # what ours is told, so that the wait is short; the peers have no such setting
LIMIT, QUEUE = 8, 4

Faulty = Callable[[str], Row]


@contextlib.contextmanager
def scene(name: str, **settings: Any) -> Iterator[tuple[Separate, Running]]:
    """Workers and the router before them; settings: more options of the router."""
    if split(name)[0] == OURS:
        settings["progress_timeout_secs"] = PROGRESS_TIMEOUT_S
    with (
        separate_workers(WORKERS, mode="steps", step_us=STEP_US) as fleet,
        router(name, fleet.urls, **settings) as front,
    ):
        yield fleet, front


def not_answered(done: Row) -> Row:
    """The requests that did not end whole, by how they ended."""
    ends = ("short_clean", "error_then_done", "error_event", "cut", "no_answer", "timed_out", "unfinished")
    return {end: done[end] for end in ends if done[end]} | {f"status {s}": n for s, n in done["by_status"].items()}


def killed_plain(name: str) -> Row:
    """SIGKILL of one worker of four under plain requests; then it starts again: seconds until traffic returns."""
    with scene(name) as (fleet, front):
        running = start_load(front.port, connections=CLIENTS, seconds=4)
        time.sleep(1.5)
        fleet.kill(0)
        done = finished_load(running)
        fleet.restart(0)
        return {"sent": done["sent"], "failed": not_answered(done), "recovery_s": recovery_s(fleet, front)}


def recovery_s(fleet: Separate, front: Running) -> float | None:
    """Seconds until worker 0 is given a request again, None when it is given none within RECOVERY_S."""
    background = start_load(front.port, connections=CLIENTS, seconds=RECOVERY_S + 5)
    try:
        return wait_for(lambda: stats(fleet.urls[0])["started"] > 0, RECOVERY_S, "traffic")
    except BenchError:
        return None
    finally:
        background.kill()
        background.communicate()


def killed_streams(name: str) -> Row:
    """SIGKILL of one worker of four under streams: how the streams that it had end."""
    with scene(name) as (fleet, front):
        running = start_load(front.port, connections=2 * CLIENTS, seconds=3, stream=True, max_tokens=100)
        time.sleep(1)
        fleet.kill(0)
        done = finished_load(running)
        return {"sent": done["sent"], "failed": not_answered(done)}


def hung(name: str) -> Row:
    """One worker accepts and never answers, health probes included: clients that wait CLIENT_TIMEOUT_S in vain."""
    with scene(name) as (fleet, front):
        running = start_load(
            front.port, connections=CLIENTS, seconds=12, timeout_s=CLIENT_TIMEOUT_S, drain_s=CLIENT_TIMEOUT_S + 1
        )
        time.sleep(1)
        fleet.order(0, "hang")
        return waits(finished_load(running))


def frozen(name: str) -> Row:
    """One worker is stopped in the middle of streams (SIGSTOP): they neither go on nor end by themselves."""
    with scene(name) as (fleet, front):
        running = start_load(
            front.port,
            connections=CLIENTS,
            seconds=12,
            stream=True,
            max_tokens=100,
            timeout_s=CLIENT_TIMEOUT_S,
            drain_s=CLIENT_TIMEOUT_S + 1,
        )
        time.sleep(1)
        fleet.freeze(0)
        done = finished_load(running)
        fleet.thaw(0)
        return waits(done)


def waits(done: Row) -> Row:
    return {
        "sent": done["sent"],
        "answered": done["complete"],
        "stuck": done["timed_out"] + done["stuck"],
        "failed": not_answered(done),
        "longest_s": done["longest_s"],
    }


def failing(status: int) -> Faulty:
    """One worker answers every generation with this status, at once, while its health probe is fine."""

    def case(name: str) -> Row:
        with scene(name) as (fleet, front):
            running = start_load(front.port, connections=CLIENTS, seconds=5)
            time.sleep(1)
            before = sum(one["started"] for one in fleet.stats())
            fleet.order(0, str(status))
            done = finished_load(running)
            tries = fleet.stats()
            after = sum(one["started"] for one in tries) - before
            return {
                "sent": done["sent"],
                "failed": not_answered(done),
                "tries": tries[0]["refused"],
                "share": tries[0]["refused"] / after,
            }

    case.__doc__ = f"One worker answers {status} at once while its health probe is fine."
    return case


def slow(name: str) -> Row:
    """One worker's first byte comes a second late: its share of the requests, and what clients see."""
    with scene(name) as (fleet, front):
        fleet.order(0, "slow/1000")
        done = load(front.port, connections=CLIENTS, seconds=5, stream=True)
        started = [one["started"] for one in fleet.stats()]
        ttft = done["ttft_ms"]
        return {
            "sent": done["sent"],
            "failed": not_answered(done),
            "share": started[0] / sum(started),
            "ttft_p50_s": ttft["p50"] / 1e3,
            "ttft_p99_s": ttft["p99"] / 1e3,
        }


def abandoned(name: str) -> Row:
    """Eight clients hang up after three tokens: how many generations the workers are told to stop."""
    with scene(name) as (fleet, front):
        done = load(front.port, connections=8, requests=8, stream=True, max_tokens=1000, abandon_after=3)

        def all_aborted() -> bool:
            return sum(one["aborted"] for one in fleet.stats()) >= done["abandoned"]

        with contextlib.suppress(BenchError):
            wait_for(all_aborted, 2, "the workers")
        return {"abandoned": done["abandoned"], "aborted": sum(one["aborted"] for one in fleet.stats())}


def terminated(name: str) -> Row:
    """SIGTERM to the router with eight streams running: how many finish, and when the router ends."""
    with scene(name) as (_, front):
        running = start_load(front.port, connections=8, requests=8, stream=True, max_tokens=400)
        time.sleep(0.5)
        front.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        done = finished_load(running)
        try:
            front.process.wait(10)
        except subprocess.TimeoutExpired:
            return {"finished": done["complete"], "failed": not_answered(done), "exit_s": None}
        return {
            "finished": done["complete"],
            "failed": not_answered(done),
            "exit_s": time.monotonic() - began,
            "exit_code": front.process.returncode,
        }


def limited(name: str) -> Row:
    """64 streams at once before a limit of 8 in flight and 4 waiting: most in flight at the workers at one time."""
    limits = {"max_concurrent_requests": LIMIT, "queue_size": QUEUE}
    with mock_workers(WORKERS, mode="steps", step_us=STEP_US) as urls, router(name, urls, **limits) as front:
        done = load(front.port, connections=64, requests=640, seconds=5, stream=True, max_tokens=100)
        peak = stats(urls[0])["peak_in_flight_all"]
        return {"sent": done["sent"], "answered": done["complete"], "failed": not_answered(done), "peak": peak}


CASES: dict[str, Faulty] = {
    "killed_plain": killed_plain,
    "killed_streams": killed_streams,
    "hung": hung,
    "frozen": frozen,
    "failing_503": failing(503),
    "failing_500": failing(500),
    "failing_429": failing(429),
    "slow": slow,
    "abandoned": abandoned,
    "terminated": terminated,
    "limited": limited,
}
