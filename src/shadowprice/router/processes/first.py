"""Several processes on one port, for more traffic than one core carries: the first one's side.

The kernel deals connections out to them (SO_REUSEPORT). What they share is exact: the table of requests in flight is
one piece of memory that all read (`fleet/in_flight.py`), so every decision sees the load that all of them made, and
they decide one at a time, whoever has the longest wait first (`decision_lock.py`), so caps hold. What each knows for
itself: its queue, which workers its own probes and requests found failing, its turn of round robin and the lengths it
learned. The first process has the dashboard, the metrics and the admin API; once a second the others (`further.py`)
tell it what ended, and it passes changes on to them. One that dies is started again. They end when the first one
tells them to, not by signals.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shadowprice.router.fleet.in_flight import block_numbers
from shadowprice.router.fleet.worker import DRAINING, LiveWorker
from shadowprice.router.processes.decision_lock import NUMBERS, Turns
from shadowprice.router.processes.further import COUNTED, First, Followed, Report
from shadowprice.router.settings import Settings

if TYPE_CHECKING:
    from shadowprice.router.server import Server

ALIVE_S = 60.0  # who lived so long is started again at once
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before who died sooner is
END_S = 5.0  # to end in, once told to


def shared_blocks(memory: SharedMemory, processes: int) -> npt.NDArray[np.int64]:
    """The table of requests in flight, one block per process."""
    return np.ndarray((processes, block_numbers()), np.int64, buffer=memory.buf)


def turns_of(memory: SharedMemory, processes: int, own: int) -> Turns:
    """The turns of one process."""
    return Turns(memory.name, shared_blocks(memory, processes)[:, 1 : 1 + NUMBERS], own)


class Family:
    """Starts the others, hears from them, tells them of changes."""

    def __init__(self, server: "Server", memory: SharedMemory) -> None:
        self.server = server
        self.memory = memory
        self.turns = turns_of(memory, server.settings.processes, 0)
        self.reports: dict[int, Report] = {}  # the last of each process, by its block
        self._spawned: dict[int, tuple[BaseProcess, Connection]] = {}
        self._started_s: dict[int, float] = {}
        self._wait_s: dict[int, float] = {}
        self._ending = False

    def start(self) -> None:
        """Start all the others."""
        for own in range(1, self.server.settings.processes):
            self._spawn(own)

    def _spawn(self, own: int) -> None:
        if self._ending:
            return
        router = self.server.router
        same = replace(self.server.settings, worker_urls=(), worker_file=None, port=self.server.port, shadow=False)
        followed = tuple(followed_of(worker) for worker in router.workers if worker.state != DRAINING)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (same, self.memory.name, own, theirs, followed, router.dispatcher.policy.name)
        process = context.Process(target=_run_child, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._spawned[own] = (process, ours)
        self._started_s[own] = router.clock()
        threading.Thread(target=self._hear, args=(own, ours), daemon=True).start()

    def _hear(self, own: int, connection: Connection) -> None:
        """In a thread, for a report may come in pieces, the next of which is late."""
        tell = self.server.loop.call_soon_threadsafe
        with suppress(RuntimeError):  # the loop is closed
            try:
                while True:
                    tell(self._take, own, connection.recv())
            except (EOFError, OSError):
                tell(self._died, own)

    def _died(self, own: int) -> None:
        process, connection = self._spawned[own]
        connection.close()
        self.reports.pop(own, None)
        process.join(1.0)
        shared_blocks(self.memory, self.server.settings.processes)[own] = 0
        lived_s = self.server.router.clock() - self._started_s[own]
        wait_s = 0.0 if lived_s > ALIVE_S else min(2 * self._wait_s.get(own, 0.0) or FIRST_WAIT_S, LONGEST_WAIT_S)
        self._wait_s[own] = wait_s
        self.server.loop.call_later(wait_s, self._spawn, own)

    def _take(self, own: int, report: Report) -> None:
        self.reports[own] = report
        router, shadow = self.server.router, self.server.shadow
        statistics = router.statistics
        statistics.take(report.ended, router.clock())
        statistics.refused.update(report.refused)
        statistics.responses.update(report.responses)
        retries, truncated, tokens = report.counts
        statistics.retries_total += retries
        statistics.truncated_total += truncated
        statistics.tokens_total += tokens
        for worker in router.workers:
            more = report.workers.get(worker.serial)
            if more is not None:
                for name, count in zip(COUNTED, more.counts, strict=True):
                    setattr(worker, name, getattr(worker, name) + count)
                worker.take_steps(more.steps)
        if shadow is not None:
            for row in report.finished:
                shadow.add(row)

    def tell(self, verb: str, **arguments: Any) -> None:
        """Have the others do the same."""
        for _, connection in self._spawned.values():
            with suppress(OSError):  # closed, or about to be: it has died
                connection.send((verb, arguments))

    def _alive(self) -> Iterator[BaseProcess]:
        return (process for process, _ in self._spawned.values() if process.is_alive())

    async def drain(self) -> None:
        """Tell the others to finish what they have and end; wait until they have."""
        self._ending = True
        self.tell("drain")
        while any(self._alive()):
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End them now."""
        self._ending = True
        self.tell("end")
        end_s = self.server.router.clock() + END_S
        while any(self._alive()) and self.server.router.clock() < end_s:
            await asyncio.sleep(0.02)
        for process in self._alive():
            process.kill()
        self.memory.unlink()  # it stays ours as long as this process lives: requests are still being ended
        self.turns.remove()


def followed_of(worker: LiveWorker) -> Followed:
    """What another process needs to know of a worker to route to it too."""
    return Followed(worker.address.url, worker.rank, worker.endpoint_ranks, worker.serial)


def _run_child(
    settings: Settings,
    memory_name: str,
    own: int,
    connection: Connection,
    followed: tuple[Followed, ...],
    policy: str,
) -> None:
    """A further process of the router."""
    from shadowprice.router.process import run_member

    for signum in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C reaches the whole group; the first process decides
        signal.signal(signum, signal.SIG_IGN)
    memory = SharedMemory(memory_name)
    first = First(connection, followed, policy, turns_of(memory, settings.processes, own))
    run_member(settings, shared_blocks(memory, settings.processes), own, first)
    asyncio.set_event_loop(None)
    os._exit(0)  # the memory is the first process's to free
