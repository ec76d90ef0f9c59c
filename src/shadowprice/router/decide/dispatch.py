"""Who goes where, and when: the queue, the scheduling policy that orders it, the routing policy that empties it.

Without caps every request is given a worker at once; those that arrive in one turn of the event loop are assigned
together. With caps (requests or KV tokens per worker, requests in all) what does not fit waits here, in the order of
the scheduling policy, and whenever there is room the first `pool` of that order are offered to the routing policy.
Refusal is decided here alone.
"""

import asyncio
from typing import Protocol

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.router.decide.caps import Caps
from shadowprice.router.decide.policy import make_policy
from shadowprice.router.decide.queue_order import QueueOrder
from shadowprice.router.decide.rotation import Rotation
from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.openai.body import key_of
from shadowprice.router.processes.decision_lock import DecisionLock, Pressing
from shadowprice.router.settings import Settings
from shadowprice.routing.policies import NamedPolicy
from shadowprice.routing.surface import Pending, Workers
from shadowprice.workload.trace import Ragged

NO_WORKER_WAIT_S = 5.0
LOOK_AGAIN_S = 0.002
MOST_URGENT = -(1 << 62)  # as a priority: what has waited for so long that it goes first


class Carrier(Protocol):
    """Who carries out what is decided."""

    in_flight: int
    active: set[Exchange]

    @property
    def block_tokens(self) -> int:
        """Tokens of a prefix block."""
        ...

    def start(self, exchange: Exchange, worker: LiveWorker, now_s: float) -> None:
        """Send it to this worker."""

    def refuse(self, exchange: Exchange, status: int, reason: str, message: str, retry_after_s: int) -> None:
        """Answer that it is not served now."""

    def retry_after_s(self, waiting: int, now_s: float) -> int:
        """When one may ask again, behind so many."""
        ...

    def give_up(self, exchange: Exchange, now_s: float) -> None:
        """It took longer than a request may."""


class Dispatcher:
    """The queue and its two policies. needs: of the routing policy. lock: of the decisions of several processes."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, fleet: Fleet, carrier: Carrier) -> None:
        self.settings, self.loop, self.fleet, self.carrier = settings, loop, fleet, carrier
        self.waiting: dict[Exchange, None] = {}  # in order of arrival
        self.use(settings.policy)
        self.order = QueueOrder(self.settings.scheduling_policy, self.settings.max_wait_s)
        self.finished: list[int] = []  # output tokens of what ended since the policy was last asked
        self.worker_keys = np.zeros(0, np.int64)
        self.scheduled = False
        self._again: asyncio.TimerHandle | None = None
        self.lock: DecisionLock | None = None
        self._caps, self._rotation = Caps(settings, fleet), Rotation()
        share, rest = divmod(self.settings.queue_size, self.settings.processes)
        self.queue_size = share + (fleet.flights.own < rest)

    def use(self, policy: str) -> None:
        """Route by the policy of this name from the next decision on."""
        self.policy = make_policy(policy, self.settings)
        self.needs = self.policy.needs
        self.decides: NamedPolicy = self.policy  # or what stands in while it is not compiled

    def look_at_workers(self) -> None:
        """They have changed. By their names every process and every router tells them alike."""
        self.worker_keys = np.array([key_of(worker.name.encode()) for worker in self.fleet.workers], np.int64)
        self.worker_keys.setflags(write=False)
        self.schedule()

    def queue(self) -> tuple[int, int, float]:
        """Requests that wait, their prompt tokens, longest wait [s]."""
        waiting = self.waiting
        oldest_wait_s = self.fleet.clock() - next(iter(waiting)).arrival_s if waiting else 0.0
        return len(waiting), sum(exchange.load.prompt_tokens for exchange in waiting), oldest_wait_s

    def submit(self, exchange: Exchange) -> None:
        """Give it a worker, in this turn of the event loop if there is room."""
        self.waiting[exchange] = None
        self.schedule()

    def schedule(self) -> None:
        """Decide once this turn's requests are all here."""
        if not self.scheduled and self.waiting:
            self.scheduled = True
            self.loop.call_soon(self._decide)

    def room_was_made(self) -> None:
        """A request has left its worker."""
        if self.lock is not None:
            self.lock.room_was_made()

    def ended(self, exchange: Exchange) -> None:
        """A request is finished."""
        if exchange.generated > 0:
            self.finished.append(exchange.generated)
            self.order.note_end(exchange, exchange.generated)

    def _decide(self) -> None:
        if self.lock is not None and not self.lock.take():
            self.loop.call_soon(self._decide)
            return
        self.scheduled = False
        try:
            self._give_away()
        finally:
            if self.lock is not None:
                self.lock.end(self._pressing(self.fleet.clock()))

    def _give_away(self) -> None:
        now_s = self.fleet.clock()
        opened = [worker.open_at(now_s) for worker in self.fleet.workers]
        if any(opened):
            for exchange in [exchange for exchange in self.waiting if exchange.tried or not exchange.counts]:
                if exchange.counts:
                    self._place([exchange], self._untried(exchange, opened), now_s)
                else:
                    self._place_uncounted(exchange, opened, now_s)
            while self.waiting and self._is_first(now_s) and self._place(self._offered(now_s), opened, now_s):
                pass  # a pool at a time
        if len(self.waiting) > self.queue_size:
            self._refuse_overflow(now_s)
        if self.waiting and self.lock is not None and self._again is None:
            self._again = self.loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _is_first(self, now_s: float) -> bool:
        """No other process has what presses more."""
        if self.lock is None:
            return True
        pressing = self._pressing(now_s)
        return pressing is None or self.lock.is_first(pressing)

    def _pressing(self, now_s: float) -> Pressing | None:
        """What presses most of what waits, between processes: finer orders are for each to keep."""
        if not self.waiting:
            return None
        if not self.order.by_priority:
            return 0, next(iter(self.waiting)).arrival_s
        aged_s = now_s - self.settings.max_wait_s
        return min((MOST_URGENT if e.arrival_s < aged_s else e.priority, e.arrival_s) for e in self.waiting)

    def _look_again(self) -> None:
        """Room that another process made is told by nobody."""
        self._again = None
        self.schedule()

    def _untried(self, exchange: Exchange, opened: list[bool]) -> list[bool]:
        """The open workers without those that failed it already, if that leaves any."""
        workers = self.fleet.workers
        fresh = [is_open and worker not in exchange.tried for worker, is_open in zip(workers, opened, strict=True)]
        return fresh if any(fresh) else opened

    def _offered(self, now_s: float) -> list[Exchange]:
        """The head of the queue, in the scheduling policy's order."""
        waiting = list(self.waiting)
        if self.order.every_decision or (len(waiting) > 1 and not self.order.in_order_of_arrival):
            waiting = self.order.ordered(waiting, self.fleet.model, now_s)
        return waiting[: self.settings.pool]

    def _place_uncounted(self, exchange: Exchange, opened: list[bool], now_s: float) -> None:
        """A request that computes nothing goes to the worker with the fewest of all."""
        in_flight = [worker.in_flight for worker in self.fleet.workers]
        g = self._rotation.least(in_flight, self._untried(exchange, opened))
        del self.waiting[exchange]
        self.carrier.start(exchange, self.fleet.workers[g], now_s)

    def _place(self, offered: list[Exchange], opened: list[bool], now_s: float) -> int:
        """Ask the policy where these go; returns how many were sent off."""
        budget = self._caps.budget(self.carrier.in_flight)
        if budget <= 0:
            return 0
        active, (running, kv_tokens, waiting, waiting_tokens) = self.fleet.survey()
        count = [a + b for a, b in zip(running, waiting, strict=True)]
        free = self._caps.free_kv(kv_tokens, waiting_tokens)
        smallest = min([exchange.load.prompt_tokens for exchange in offered]) or 1
        rooms = self._caps.rooms(opened, count, free, smallest)
        offered = self._caps.not_starving(offered, rooms, count, free)
        if not any(rooms):
            return 0
        least = min([room for room, is_open in zip(rooms, opened, strict=True) if is_open])
        may_wait = len(offered) > min(budget, least)
        slots = [a + b for a, b in zip(count, rooms, strict=True)] if may_wait else count
        running_now, kv_now, waiting_now, waiting_tokens_now = self.fleet.flights.sums
        view = Workers(
            kv_now,
            running_now,
            waiting_now,
            waiting_tokens_now,
            np.array(slots, np.int64),
            active=active,
            speed=self.fleet.speeds(),
            finished_tokens=self._finished(),
            open=None if all(opened) else np.array(opened, np.bool_),
            keys=self.worker_keys,
        )
        answer = self.decides.assign(self._pending(offered, may_wait=may_wait), view, now_s).tolist()
        needs = self.needs  # a policy that remembers something of its own may mean one worker and no other
        if not (needs.prefixes or needs.keys or needs.own or view.speed is not None):
            alike = zip(rooms, free, strict=True)
            kinds = [None if held or not kind[0] else kind for held, kind in zip(count, alike, strict=True)]
            answer = self._rotation.turned(answer, kinds)
        sent, left = 0, []
        for exchange, g in zip(offered, answer, strict=True):
            if g < 0 or sent >= budget or (exchange.load.prompt_tokens > free[g] and count[g] > 0):
                exchange.passes -= sent  # what is too large for the rest of a worker may still go to an empty one
                left.append(exchange)
                continue
            free[g] -= exchange.load.prompt_tokens
            count[g] += 1
            sent += 1
            del self.waiting[exchange]
            if not exchange.sent_s:  # else it was counted when it was sent before
                self.order.note_start(exchange)
            self.carrier.start(exchange, self.fleet.workers[g], now_s)
        for exchange in left:
            exchange.passes += sent  # in all: by those behind it
        return sent

    def _pending(self, offered: list[Exchange], *, may_wait: bool) -> Pending:
        prefix, hashes = None, self.needs.keys
        if self.needs.prefixes:
            blocks = [block for exchange in offered for block in exchange.load.prefix]
            prefix = Ragged.from_lengths(
                np.array(blocks, np.int64), [len(exchange.load.prefix) for exchange in offered]
            )
        return Pending(
            arrival_s=np.array([exchange.arrival_s for exchange in offered]),
            prompt_tokens=np.array([exchange.load.prompt_tokens for exchange in offered], np.int64),
            session=np.array([exchange.load.hashed_by if hashes else -1 for exchange in offered], np.int64),
            passes=np.array([exchange.passes for exchange in offered], np.int64) if may_wait else None,
            prefix=prefix,
            prefix_block_tokens=self.carrier.block_tokens if prefix is not None else 0,
            may_wait=may_wait,
        )

    def _finished(self) -> IntArray | None:
        if not self.finished:
            return None
        finished, self.finished = np.array(self.finished, np.int64), []
        return finished

    # refusal: the only place where a request that could be served is turned away

    def expire(self, now_s: float) -> None:
        """Refuse what has waited too long; forget tenants that are no more."""
        if self.order.crowded:
            self.order.forget({exchange.tenant for exchange in [*self.carrier.active, *self.waiting]})
        opened = any(worker.open_at(now_s) for worker in self.fleet.workers)
        for exchange in list(self.waiting):
            waited_s = now_s - exchange.arrival_s
            if waited_s > self.settings.request_timeout_s:
                self.carrier.give_up(exchange, now_s)
            elif waited_s > self.settings.queue_timeout_s:
                self._refuse(exchange, 429, "queue_timeout", f"waited {waited_s:.0f} s in the router's queue", now_s)
            elif not opened and waited_s > NO_WORKER_WAIT_S:
                self._refuse(exchange, 503, "no_worker", "no worker is up", now_s)

    def _refuse_overflow(self, now_s: float) -> None:
        """What the queue cannot hold, from the end of its order."""
        over = len(self.waiting) - self.queue_size
        if over <= 0:
            return
        waiting = list(self.waiting)
        if not self.order.in_order_of_arrival:
            waiting = self.order.ordered(waiting, self.fleet.model, now_s)
        for exchange in waiting[-over:]:
            message = f"{len(self.waiting)} requests wait; the queue holds {self.queue_size} (--queue-size)"
            self._refuse(exchange, 429, "queue_full", message, now_s)

    def _refuse(self, exchange: Exchange, status: int, reason: str, message: str, now_s: float) -> None:
        self.waiting.pop(exchange, None)
        retry_after_s = self.carrier.retry_after_s(len(self.waiting), now_s)
        self.carrier.refuse(exchange, status, reason, message, retry_after_s)
