"""Several processes on one port, for more traffic than one core carries.

The kernel deals connections out to them (SO_REUSEPORT). What they share is exact: the table of requests in flight is
one piece of memory that all read (`flight.py`), so every decision sees the load that all of them made. What each knows
for itself: its queue, which workers its own probes and requests found failing, its turn of round robin and the lengths
it learned. They decide one at a time (`turns.py`), so caps hold. The first process has the dashboard, the metrics and
the admin API; once a second the others tell it what ended, and it passes changes on to them. One that dies is started
again.
"""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ShadowpriceError
from shadowprice.router.flight import block_numbers
from shadowprice.router.live_worker import DRAINING
from shadowprice.router.record import FinishedRequest
from shadowprice.router.settings import Settings
from shadowprice.router.statistics import Ended
from shadowprice.router.turns import Turns

if TYPE_CHECKING:
    from shadowprice.router.server import Server

COUNTED = ("requests_total", "errors_total", "retries_total", "prompt_tokens_total", "generated_tokens_total")
Command = tuple[str, dict[str, Any]]


class Report(NamedTuple):
    """What a process tells of its last second. workers: by name, what is to be added to COUNTED."""

    pid: int
    in_flight: int
    waiting: tuple[int, int, float]  # requests, prompt tokens, longest wait [s]
    ended: list[Ended]
    refused: Counter[str]
    responses: Counter[str]
    counts: tuple[int, int, int]  # retries, truncated, tokens
    workers: dict[str, list[int]]
    finished: list[FinishedRequest]


class First(NamedTuple):
    """The first process, to another one. serials: what it calls the workers that the other one starts with."""

    connection: Connection
    serials: tuple[int, ...]
    turns: Turns


def shared_blocks(memory: SharedMemory, processes: int) -> npt.NDArray[np.int64]:
    """The table of requests in flight, one block per process."""
    return np.ndarray((processes, block_numbers()), np.int64, buffer=memory.buf)


class Family:
    """The first process's side: starts the others, hears from them, tells them of changes."""

    def __init__(self, server: "Server", memory: SharedMemory) -> None:
        self.server = server
        self.memory = memory
        self.turns = Turns(memory.name)
        self.reports: dict[int, Report] = {}  # the last of each process, by its block
        self._spawned: dict[int, tuple[BaseProcess, Connection]] = {}
        self._ending = False

    def start(self) -> None:
        """Start all the others."""
        for own in range(1, self.server.settings.processes):
            self._spawn(own)

    def _spawn(self, own: int) -> None:
        settings = self.server.settings
        workers = [worker for worker in self.server.router.workers if worker.state != DRAINING]
        same = replace(
            settings,
            worker_urls=tuple(worker.name for worker in workers),
            worker_file=None,
            intra_node_data_parallel_size=1,  # the names tell the ranks
            port=self.server.port,
            policy=self.server.router.dispatcher.policy.name,
            shadow=False,
        )
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        serials = tuple(worker.serial for worker in workers)
        process = context.Process(target=_run_child, args=(same, self.memory.name, own, theirs, serials), daemon=True)
        process.start()
        theirs.close()
        self._spawned[own] = (process, ours)
        self.server.loop.add_reader(ours.fileno(), self._hear, own)

    def _hear(self, own: int) -> None:
        process, connection = self._spawned[own]
        try:
            while connection.poll():
                self._take(own, connection.recv())
        except (EOFError, OSError):
            self.server.loop.remove_reader(connection.fileno())
            connection.close()
            self.reports.pop(own, None)
            process.join(1.0)
            shared_blocks(self.memory, self.server.settings.processes)[own] = 0
            if not self._ending:
                self._spawn(own)

    def _take(self, own: int, report: Report) -> None:
        self.reports[own] = report
        statistics = self.server.router.statistics
        statistics.take(report.ended, self.server.router.clock())
        statistics.refused.update(report.refused)
        statistics.responses.update(report.responses)
        retries, truncated, tokens = report.counts
        statistics.retries_total += retries
        statistics.truncated_total += truncated
        statistics.tokens_total += tokens
        for worker in self.server.router.workers:
            for name, more in zip(COUNTED, report.workers.get(worker.name, ()), strict=False):
                setattr(worker, name, getattr(worker, name) + more)
        if self.server.shadow is not None:
            for row in report.finished:
                self.server.shadow.add(row)

    def tell(self, verb: str, **arguments: Any) -> None:
        """Have the others do the same."""
        for _, connection in self._spawned.values():
            if not connection.closed:
                connection.send((verb, arguments))

    def drain(self) -> None:
        """Tell the others to end when they are done."""
        self._ending = True
        for process, _ in self._spawned.values():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)

    async def stop(self) -> None:
        """Wait for them, then end them."""
        self.drain()
        for process, _ in self._spawned.values():
            await self.server.loop.run_in_executor(None, process.join, self.server.settings.drain_timeout_s)
            if process.is_alive():
                process.kill()
        self.memory.close()
        self.memory.unlink()
        self.turns.close()


class Member:
    """Another process's side: reports once a second, and does what it is told."""

    def __init__(self, server: "Server", first: First) -> None:
        self.server = server
        self.connection = first.connection
        self.serials = first.serials
        self.finished: list[FinishedRequest] = []
        self._told: dict[str, list[int]] = {}
        server.loop.add_reader(self.connection.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            while self.connection.poll():
                verb, arguments = self.connection.recv()
                self.server.run(self._obey(verb, arguments))
        except (EOFError, OSError):  # the first process is no more
            self.server.loop.remove_reader(self.connection.fileno())
            self.server.stopping.set()

    async def _obey(self, verb: str, arguments: dict[str, Any]) -> None:
        try:
            await getattr(self.server.control, verb)(**arguments)
        except ShadowpriceError as error:
            self.server.loop.call_exception_handler({"message": f"{verb} {arguments}: {error}"})

    def report(self) -> None:
        """Tell what happened since the last report."""
        router = self.server.router
        statistics = router.statistics
        counts = (statistics.retries_total, statistics.truncated_total, statistics.tokens_total)
        statistics.retries_total = statistics.truncated_total = statistics.tokens_total = 0
        refused, statistics.refused = statistics.refused, Counter()
        responses, statistics.responses = statistics.responses, Counter()
        finished, self.finished = self.finished, []
        waiting = self.server.control.waiting()
        report = Report(
            os.getpid(),
            router.in_flight,
            waiting,
            statistics.give(),
            refused,
            responses,
            counts,
            self._since_last(),
            finished,
        )
        try:
            self.connection.send(report)
        except OSError:
            self.server.stopping.set()

    def _since_last(self) -> dict[str, list[int]]:
        now = {worker.name: [getattr(worker, name) for name in COUNTED] for worker in self.server.router.workers}
        none = [0] * len(COUNTED)
        new = {
            name: [total - told for total, told in zip(totals, self._told.get(name, none), strict=True)]
            for name, totals in now.items()
        }
        self._told = now
        return new


def _run_child(
    settings: Settings, memory_name: str, own: int, connection: Connection, serials: tuple[int, ...]
) -> None:
    """A further process of the router."""
    from shadowprice.router.process import run_member

    memory = SharedMemory(memory_name)
    first = First(connection, serials, Turns(memory_name))
    run_member(settings, shared_blocks(memory, settings.processes), own, first)
    asyncio.set_event_loop(None)
    os._exit(0)  # the memory is the first process's to free
