"""Who goes where, and when: the queue, the scheduling policy that orders it, the routing policy that empties it.

Without caps every request is given a worker at once; those that arrive in one turn of the event loop are assigned
together. With caps (requests or KV tokens per worker, requests in all) what does not fit waits here, in the order of
the scheduling policy, and whenever there is room the first `pool` of that order are offered to the routing policy.
Refusal is decided here alone.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from shadowprice.router.exchange import Exchange
from shadowprice.router.live_worker import LiveWorker
from shadowprice.router.queue_order import QueueOrder
from shadowprice.routing.policies import POLICIES, BuiltIn
from shadowprice.routing.surface import BoolArray, IntArray, Pending, Workers
from shadowprice.workload.trace import Ragged

if TYPE_CHECKING:
    from shadowprice.router.router import Router

UNBOUNDED = 1 << 40
NO_WORKER_WAIT_S = 5.0


class Dispatcher:
    """The queue and its two policies."""

    def __init__(self, router: "Router") -> None:
        self.router = router
        self.settings = router.settings
        self.waiting: dict[Exchange, None] = {}  # in order of arrival
        self.policy: BuiltIn = POLICIES[self.settings.policy]()
        self.order = QueueOrder(self.settings.scheduling_policy, self.settings.max_wait_s)
        self.finished: list[int] = []  # output tokens of what ended since the policy was last asked
        self.scheduled = False

    def submit(self, exchange: Exchange) -> None:
        """Give it a worker, in this turn of the event loop if there is room."""
        self.waiting[exchange] = None
        self.schedule()

    def schedule(self) -> None:
        """Decide once this turn's requests are all here."""
        if not self.scheduled and self.waiting:
            self.scheduled = True
            self.router.loop.call_soon(self._decide)

    def ended(self, output_tokens: int) -> None:
        """A request is finished, after so many tokens."""
        if output_tokens > 0:
            self.finished.append(output_tokens)
            self.order.note_output(output_tokens)

    @property
    def uses_prefixes(self) -> bool:
        """Does the policy look at prompts' blocks."""
        return self.policy.name in ("cache_aware", "consistent_hash") or self.policy.rules.prefill_kv_tokens > 0

    def _decide(self) -> None:
        self.scheduled = False
        now_s = self.router.clock()
        workers = self.router.workers
        opened = np.array([worker.open_at(now_s) for worker in workers], np.bool_)
        if opened.any():
            self._place_uncounted(now_s)
            retried = [exchange for exchange in self.waiting if exchange.tried]
            for exchange in retried:
                self._place([exchange], _untried(exchange, workers, opened), now_s)
            while self.waiting and self._place(self._offered(now_s), opened, now_s):
                opened = np.array([worker.open_at(now_s) for worker in workers], np.bool_)
        self._refuse_overflow(now_s)

    def _offered(self, now_s: float) -> list[Exchange]:
        """The head of the queue, in the scheduling policy's order."""
        waiting = list(self.waiting)
        if len(waiting) > 1 and not self.order.in_order_of_arrival:
            waiting = self.order.ordered(waiting, self.router.model, now_s)
        return waiting[: self.settings.pool]

    def _place_uncounted(self, now_s: float) -> None:
        """Requests that compute nothing go to the worker with the fewest of all."""
        for exchange in [exchange for exchange in self.waiting if not exchange.counts]:
            opened = [worker for worker in self.router.workers if worker.open_at(now_s)]
            fresh = [worker for worker in opened if worker not in exchange.tried] or opened
            if fresh:
                del self.waiting[exchange]
                self.router.start(exchange, min(fresh, key=lambda worker: worker.in_flight), now_s)

    def _place(self, offered: list[Exchange], opened: BoolArray, now_s: float) -> int:
        """Ask the policy where these go; returns how many were sent off."""
        view = self.router.survey(self._slots(), opened, self._finished())
        rooms = self._rooms(view, opened, offered)
        budget = self._budget()
        if budget <= 0 or not rooms.any():
            return 0
        fits_anywhere = len(offered) <= min(budget, int(rooms[opened].min()))
        pending = self._pending(offered, may_wait=not fits_anywhere)
        view.slots[:] = view.running + view.waiting + rooms
        answer = self.policy.assign(pending, view, now_s).tolist()
        free = self._free_kv(view)
        sent = 0
        for exchange, g in zip(offered, answer, strict=True):
            if g < 0 or sent >= budget:
                exchange.passes += sent
                continue
            if exchange.prompt_tokens > free[g] and (view.running[g] + view.waiting[g] > 0 or free[g] < free.max()):
                continue  # too large for what is left there; alone it may go to an empty worker
            free[g] -= exchange.prompt_tokens
            del self.waiting[exchange]
            sent += 1
            self.router.start(exchange, self.router.workers[g], now_s)
        return sent

    def _pending(self, offered: list[Exchange], *, may_wait: bool) -> Pending:
        prefix = None
        if self.uses_prefixes:
            blocks = [block for exchange in offered for block in exchange.prefix]
            prefix = Ragged.from_lengths(np.array(blocks, np.int64), [len(exchange.prefix) for exchange in offered])
        return Pending(
            arrival_s=np.array([exchange.arrival_s for exchange in offered]),
            prompt_tokens=np.array([exchange.prompt_tokens for exchange in offered], np.int64),
            session=np.array([exchange.session for exchange in offered], np.int64),
            passes=np.array([exchange.passes for exchange in offered], np.int64) if may_wait else None,
            prefix=prefix,
            prefix_block_tokens=self.router.block_tokens if prefix is not None else 0,
            may_wait=may_wait,
        )

    def _finished(self) -> IntArray | None:
        if not self.finished:
            return None
        finished, self.finished = np.array(self.finished, np.int64), []
        return finished

    def _slots(self) -> IntArray:
        most = self.settings.max_num_seqs or UNBOUNDED
        return np.array([worker.slots or most for worker in self.router.workers], np.int64)

    def _budget(self) -> int:
        """How many more may be in flight in all."""
        most = self.settings.max_concurrent_requests
        return UNBOUNDED if most is None else most - self.router.in_flight

    def _rooms(self, view: Workers, opened: BoolArray, offered: list[Exchange]) -> IntArray:
        """How many more each worker may get: slots, and KV room for so many of the smallest offered."""
        rooms = np.maximum(view.slots - view.running - view.waiting, 0)
        probing = np.array([worker.state != "up" for worker in self.router.workers], np.bool_)
        rooms[probing] = np.minimum(rooms[probing], 1)
        smallest = max(min(exchange.prompt_tokens for exchange in offered), 1)
        by_kv = np.maximum(self._free_kv(view), 0) // smallest
        empty = view.running + view.waiting == 0  # the worker itself refuses what it can never hold
        return np.where(opened, np.minimum(rooms, np.maximum(by_kv, empty)), 0)

    def _free_kv(self, view: Workers) -> IntArray:
        """KV tokens that each worker may still be given."""
        caps = np.array([self._kv_cap(worker) for worker in self.router.workers], np.int64)
        return caps - view.kv_tokens - view.waiting_tokens

    def _kv_cap(self, worker: LiveWorker) -> int:
        most = self.settings.max_kv_tokens
        if most is None:
            return worker.kv_capacity_tokens or UNBOUNDED
        return most or UNBOUNDED

    # refusal: the only place where a request that could be served is turned away

    def expire(self, now_s: float) -> None:
        """Refuse what has waited too long."""
        opened = any(worker.open_at(now_s) for worker in self.router.workers)
        for exchange in list(self.waiting):
            waited_s = now_s - exchange.arrival_s
            if waited_s > self.settings.queue_timeout_s:
                self._refuse(exchange, 429, "queue_timeout", f"waited {waited_s:.0f} s in the router's queue", now_s)
            elif not opened and waited_s > NO_WORKER_WAIT_S:
                self._refuse(exchange, 503, "no_worker", "no worker is up", now_s)

    def _refuse_overflow(self, now_s: float) -> None:
        """What the queue cannot hold, from the end of its order."""
        over = len(self.waiting) - self.settings.queue_size
        if over <= 0:
            return
        waiting = list(self.waiting)
        if not self.order.in_order_of_arrival:
            waiting = self.order.ordered(waiting, self.router.model, now_s)
        for exchange in waiting[-over:]:
            message = f"{len(self.waiting)} requests wait; --queue-size is {self.settings.queue_size}"
            self._refuse(exchange, 429, "queue_full", message, now_s)

    def _refuse(self, exchange: Exchange, status: int, reason: str, message: str, now_s: float) -> None:
        self.waiting.pop(exchange, None)
        self.router.refuse(exchange, status, reason, message, self.retry_after_s(now_s))

    def retry_after_s(self, now_s: float) -> int:
        """Seconds until what waits now will have been taken up, at the rate at which requests end; 1 to 60."""
        per_s = self.router.statistics.ends_per_s(now_s)
        return min(max(math.ceil(len(self.waiting) / per_s), 1), 60) if per_s > 0 else 5


def _untried(exchange: Exchange, workers: list[LiveWorker], opened: BoolArray) -> BoolArray:
    """The open workers without those that failed it already, if that leaves any."""
    fresh = opened & np.array([worker not in exchange.tried for worker in workers], np.bool_)
    return fresh if fresh.any() else opened
