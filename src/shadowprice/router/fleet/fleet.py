"""The workers together: who they are, what they hold, how fast they are."""

import time
from collections.abc import Callable

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import RouterError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.worker import DRAINING, NOT_PROBED, PROBING, UP, LiveWorker
from shadowprice.routing.surface import Active

BEFORE_LEARNING = StepTime(0.02, 0.0, 1e-7, 1e-5)


class Fleet:
    """changed: called when there are other workers; reopened: when one may be given requests again.

    model: what `model.py` takes a worker to be. clock: the event loop's own may be as old as its turn.
    """

    def __init__(self, flights: Flights, *, lockstep: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.flights, self.lockstep, self.clock = flights, lockstep, clock
        self.workers: list[LiveWorker] = []
        self.model = Worker(BEFORE_LEARNING)
        self.changed: Callable[[], None] = lambda: None
        self.reopened: Callable[[], None] = lambda: None
        self._next_serial = 0

    def add(self, worker: LiveWorker, serial: int | None = None) -> LiveWorker:
        """One more worker, or one back that was to be removed; serial: as the first of several processes has it.

        Raises RouterError when it is there.
        """
        for other in self.workers:
            if worker.name == other.name and other.state == DRAINING:
                other.revive()
                return other
            if worker.name == other.name:
                raise RouterError(f"worker {worker.name} is there already")
        worker.serial = self._next_serial if serial is None else serial
        self._next_serial = worker.serial + 1
        self.workers.append(worker)
        self._set()
        return worker

    def remove(self, worker: LiveWorker) -> None:
        """Take it away; its requests are the caller's."""
        worker.drop_idle()
        self.workers.remove(worker)
        self._set()

    def _set(self) -> None:
        self.flights.set_workers([worker.serial for worker in self.workers])
        self.changed()

    def at(self, url: str) -> list[LiveWorker]:
        """The workers behind one endpoint: one, or its ranks."""
        return [worker for worker in self.workers if worker.address.url == url]

    def named(self, name: str) -> LiveWorker:
        """The worker of that name. Raises RouterError when there is none."""
        for worker in self.workers:
            if worker.name == name:
                return worker
        known = ", ".join(worker.name for worker in self.workers)
        raise RouterError(f"no worker {name!r}; expected one of {known or 'none: there is no worker'}")

    @property
    def healthy(self) -> bool:
        """Is there a worker that answered its last probe."""
        return any(
            worker.state == UP or (worker.state == PROBING and worker.reason != NOT_PROBED) for worker in self.workers
        )

    def speeds(self) -> FloatArray | None:
        """Of the workers, relative to one another; None where they are alike, or nobody knows."""
        if self.lockstep:
            return None
        speeds = [worker.steps.speed for worker in self.workers]
        return None if min(speeds) == max(speeds) else np.array(speeds)

    def survey(self) -> tuple[Active, list[list[int]]]:
        """`Flights.survey`, and what the workers last reported beyond it."""
        active, lists = self.flights.survey()
        running, kv_tokens, waiting, _ = lists
        most = (max(running), max(kv_tokens))
        for g, worker in enumerate(self.workers):
            worker.steps.load = most if self.lockstep else (running[g], kv_tokens[g])
            reported = worker.reported
            if reported.foreign_requests:
                kv_tokens[g] += reported.foreign_kv_tokens
                waiting[g] += reported.foreign_requests
                self.flights.sums[1:3, g] = kv_tokens[g], waiting[g]
        return active, lists

    def counted(self, worker: LiveWorker) -> tuple[int, int]:
        """Requests at the worker that came this way, and their KV tokens."""
        running, waiting, kv, waiting_kv = self.flights.loads()[self.workers.index(worker)]
        return running + waiting, kv + waiting_kv
