"""A further process of a router on one port: reports to the first one once a second, and does what that tells it."""

import asyncio
import os
from collections.abc import Callable

from shadowprice.errors import ShadowpriceError
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.worker import Counts
from shadowprice.router.processes.messages import Change, Done, End, Files, Joining, Report
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.statistics import Statistics


class FurtherProcess:
    """The other process's side.

    change: does what the first one did. stop: begins to end, and ends at once when it is called again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        joining: Joining,
        change: Callable[[Change], None],
        stop: Callable[[], None],
    ) -> None:
        self.joining = joining
        self._loop, self._change, self._stop = loop, change, stop
        self._finished: list[FinishedRequest] = []
        self._told: dict[int, tuple[Counts, int]] = {}  # counts and steps in all, by serial
        self._alone = False
        loop.add_reader(joining.connection.fileno(), self._hear)
        os.set_blocking(joining.connection.fileno(), True)  # uvloop undoes it; half a message is an error then

    def add(self, row: FinishedRequest) -> None:
        """Keep it for the next report."""
        self._finished.append(row)

    def _hear(self) -> None:
        connection = self.joining.connection
        try:
            while not self._alone and connection.poll():
                message = connection.recv()
                if isinstance(message, End):
                    for _ in range(1 + message.at_once):  # at once: as if it had been told to drain before
                        self._stop()
                else:
                    self._do(message)
        except (EOFError, OSError):
            self._is_alone()

    def _do(self, change: Change) -> None:
        try:
            self._change(change)
        except ShadowpriceError as error:
            self._loop.call_exception_handler({"message": f"{change}: {error}"})

    def _is_alone(self) -> None:
        """The first process is no more: finish what there is, and end."""
        if not self._alone:
            self._alone = True
            self._loop.remove_reader(self.joining.connection.fileno())
            self._stop()

    async def report(
        self,
        fleet: Fleet,
        statistics: Statistics,
        in_flight: int,
        waiting: tuple[int, int, float],
        decides: str,
        files: Files,
    ) -> None:
        """Tell what happened since the last report."""
        if self._alone:
            return
        finished, self._finished = self._finished, []
        workers = self._by_worker(fleet)
        report = Report(os.getpid(), in_flight, waiting, decides, statistics.give(), workers, finished, files)
        try:
            await self._loop.run_in_executor(None, self.joining.connection.send, report)
        except OSError:
            self._is_alone()

    def _by_worker(self, fleet: Fleet) -> dict[int, Done]:
        told, self._told = self._told, {}
        done = {}
        for worker in fleet.workers:
            before, steps_before = told.get(worker.serial, (Counts(), 0))
            now, since = Counts(), Counts()
            now.add(worker.counts)
            since.add(worker.counts)
            since.add(before, times=-1)
            steps = worker.steps
            self._told[worker.serial] = (now, steps.total)
            new = min(steps.total - steps_before, len(steps.recent))
            done[worker.serial] = Done(since, [steps.recent[len(steps.recent) - new + i] for i in range(new)])
        return done
