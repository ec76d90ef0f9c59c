"""A further process of a router on one port: reports to the first one once a second, and does what that tells it."""

import os
from collections import Counter
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

from shadowprice.errors import ShadowpriceError
from shadowprice.router.processes.decision_lock import Turns
from shadowprice.router.record.recorder import FinishedRequest
from shadowprice.router.record.statistics import Ended

if TYPE_CHECKING:
    from shadowprice.router.server import Server

COUNTED = ("requests_total", "errors_total", "retries_total", "prompt_tokens_total", "generated_tokens_total")
Step = tuple[int, int, float]  # requests, KV tokens, seconds


class Followed(NamedTuple):
    """A worker as the first process has it. serial: as in `fleet/in_flight.py`."""

    url: str
    rank: int | None
    ranks: int
    serial: int


class First(NamedTuple):
    """The first process, to another one: the pipe to it, and what it routes to and how as the other one starts."""

    connection: Connection
    followed: tuple[Followed, ...]
    policy: str
    turns: Turns


class Done(NamedTuple):
    """What a worker did for a process in its last second. counts: what is to be added to COUNTED."""

    counts: list[int]
    steps: list[Step]


class Report(NamedTuple):
    """What a process tells of its last second. workers: by serial."""

    pid: int
    in_flight: int
    waiting: tuple[int, int, float]  # requests, prompt tokens, longest wait [s]
    ended: list[Ended]
    refused: Counter[str]
    responses: Counter[str]
    counts: tuple[int, int, int]  # retries, truncated, tokens
    workers: dict[int, Done]
    finished: list[FinishedRequest]
    files: dict[str, dict[str, Any] | None]  # as `Server.files`


class Member:
    """The other process's side."""

    def __init__(self, server: "Server", first: First) -> None:
        self.server = server
        self.first = first
        self.finished: list[FinishedRequest] = []
        self._told: dict[int, tuple[list[int], int]] = {}  # counts and steps in all, by serial
        self._alone = False
        server.loop.add_reader(first.connection.fileno(), self._hear)
        os.set_blocking(first.connection.fileno(), True)  # uvloop undoes it; half a message is an error then

    def _hear(self) -> None:
        connection = self.first.connection
        try:
            while not self._alone and connection.poll():
                verb, arguments = connection.recv()
                self._obey(verb, arguments)
        except (EOFError, OSError):
            self._is_alone()

    def _is_alone(self) -> None:
        """The first process is no more: finish what there is, and end."""
        if not self._alone:
            self._alone = True
            self.server.loop.remove_reader(self.first.connection.fileno())
            self.server.stopping.release()

    def _obey(self, verb: str, arguments: dict[str, Any]) -> None:
        if verb == "drain":
            self.server.stopping.release()
        elif verb == "end":  # at once: as if it had been told to drain before
            for _ in range(2):
                self.server.stopping.release()
        else:
            try:
                getattr(self.server.control, verb)(**arguments)
            except ShadowpriceError as error:
                self.server.loop.call_exception_handler({"message": f"{verb} {arguments}: {error}"})

    async def report(self) -> None:
        """Tell what happened since the last report."""
        if not self._alone:
            try:
                await self.server.loop.run_in_executor(None, self.first.connection.send, self._since_last())
            except OSError:
                self._is_alone()

    def _since_last(self) -> Report:
        router = self.server.router
        statistics = router.statistics
        counts = (statistics.retries_total, statistics.truncated_total, statistics.tokens_total)
        statistics.retries_total = statistics.truncated_total = statistics.tokens_total = 0
        refused, statistics.refused = statistics.refused, Counter()
        responses, statistics.responses = statistics.responses, Counter()
        finished, self.finished = self.finished, []
        return Report(
            os.getpid(),
            router.in_flight,
            self.server.control.waiting(),
            statistics.give(),
            refused,
            responses,
            counts,
            self._by_worker(),
            finished,
            self.server.files(),
        )

    def _by_worker(self) -> dict[int, Done]:
        told, self._told = self._told, {}
        done = {}
        for worker in self.server.router.workers:
            totals = [getattr(worker, name) for name in COUNTED]
            before, steps_before = told.get(worker.serial, ([0] * len(COUNTED), 0))
            self._told[worker.serial] = (totals, worker.steps_total)
            new = min(worker.steps_total - steps_before, len(worker.steps))
            steps = [worker.steps[len(worker.steps) - new + i] for i in range(new)]
            done[worker.serial] = Done([now - then for now, then in zip(totals, before, strict=True)], steps)
        return done
