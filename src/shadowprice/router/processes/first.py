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
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import numpy.typing as npt

from shadowprice.router.fleet.in_flight import Flights, block_numbers
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.processes.decision_lock import NUMBERS, DecisionLock
from shadowprice.router.processes.messages import End, Followed, Joining, Message, Report
from shadowprice.router.settings import Settings

ALIVE_S = 60.0  # who lived so long is started again at once
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before who died sooner is
END_S = 5.0  # to end in, once told to
Run = Callable[[Settings, Flights, Joining], None]  # a further process, until it ends


def shared_blocks(memory: SharedMemory, processes: int) -> npt.NDArray[np.int64]:
    """The table of requests in flight, one block per process."""
    return np.ndarray((processes, block_numbers()), np.int64, buffer=memory.buf)


def lock_of(memory: SharedMemory, processes: int, own: int) -> DecisionLock:
    """One process's side of the lock."""
    return DecisionLock(memory.name, shared_blocks(memory, processes)[:, 1 : 1 + NUMBERS], own)


class FirstProcess:
    """Starts the others, hears from them, tells them of changes.

    run: what each of them does. now: settings, workers and routing policy of one that starts now. take: hears every
    report; reports: the last of each process, by its block.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processes: int,
        run: Run,
        now: Callable[[], tuple[Settings, tuple[Followed, ...], str]],
        take: Callable[[Report], None],
    ) -> None:
        self.memory = SharedMemory(create=True, size=8 * processes * block_numbers())
        self.lock = lock_of(self.memory, processes, 0)
        self.reports: dict[int, Report] = {}
        self._loop, self._processes, self._run, self._now, self._heard = loop, processes, run, now, take
        self._spawned: dict[int, tuple[BaseProcess, Connection]] = {}
        self._started_s: dict[int, float] = {}
        self._wait_s: dict[int, float] = {}
        self._ending = False

    def flights(self) -> Flights:
        """The table of requests in flight, of this process and the others."""
        return Flights(shared_blocks(self.memory, self._processes))

    def start(self) -> None:
        """Start all the others."""
        for own in range(1, self._processes):
            self._spawn(own)

    def _spawn(self, own: int) -> None:
        if self._ending:
            return
        settings, followed, policy = self._now()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (self._run, settings, self.memory.name, own, theirs, followed, policy)
        process = context.Process(target=_run_further, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._spawned[own] = (process, ours)
        self._started_s[own] = time.monotonic()
        threading.Thread(target=self._hear, args=(own, ours), daemon=True).start()

    def _hear(self, own: int, connection: Connection) -> None:
        """In a thread, for a report may come in pieces, the next of which is late."""
        tell = self._loop.call_soon_threadsafe
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
        shared_blocks(self.memory, self._processes)[own] = 0
        lived_s = time.monotonic() - self._started_s[own]
        wait_s = 0.0 if lived_s > ALIVE_S else min(2 * self._wait_s.get(own, 0.0) or FIRST_WAIT_S, LONGEST_WAIT_S)
        self._wait_s[own] = wait_s
        self._loop.call_later(wait_s, self._spawn, own)

    def _take(self, own: int, report: Report) -> None:
        self.reports[own] = report
        self._heard(report)

    def tell(self, message: Message) -> None:
        """Have the others do this."""
        for _, connection in self._spawned.values():
            with suppress(OSError):  # closed, or about to be: it has died
                connection.send(message)

    def _alive(self) -> Iterator[BaseProcess]:
        return (process for process, _ in self._spawned.values() if process.is_alive())

    async def drain(self) -> None:
        """Tell the others to finish what they have and end; wait until they have."""
        self._ending = True
        self.tell(End(at_once=False))
        while any(self._alive()):
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End them now."""
        self._ending = True
        self.tell(End(at_once=True))
        end_s = time.monotonic() + END_S
        while any(self._alive()) and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        for process in self._alive():
            process.kill()
        self.memory.unlink()  # it stays ours as long as this process lives: requests are still being ended
        self.lock.remove()


def followed_of(worker: LiveWorker) -> Followed:
    """What another process needs to know of a worker to route to it too."""
    return Followed(worker.address.url, worker.rank, worker.endpoint_ranks, worker.serial)


def _run_further(
    run: Run,
    settings: Settings,
    memory_name: str,
    own: int,
    connection: Connection,
    followed: tuple[Followed, ...],
    policy: str,
) -> None:
    """A further process of the router."""
    for signum in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C reaches the whole group; the first process decides
        signal.signal(signum, signal.SIG_IGN)
    memory = SharedMemory(memory_name)
    joining = Joining(connection, followed, policy, lock_of(memory, settings.processes, own))
    run(settings, Flights(shared_blocks(memory, settings.processes), own), joining)
    asyncio.set_event_loop(None)
    os._exit(0)  # the memory is the first process's to free
