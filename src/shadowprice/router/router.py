"""The router itself: takes requests from clients, has them placed, and settles how each ended."""

import asyncio
import math
from collections.abc import Callable

from shadowprice.router.account import learn_usage, row_of_end
from shadowprice.router.decide.dispatch import Dispatcher
from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.http.client import Client, Door
from shadowprice.router.http.connector import Connector
from shadowprice.router.http.head import error_response, whole_response
from shadowprice.router.http.held_bodies import HeldBodies
from shadowprice.router.http.keys import Keys
from shadowprice.router.http.outbox import Outbox
from shadowprice.router.http.request import Request, one_hop_less
from shadowprice.router.http.upstream import Upstream
from shadowprice.router.openai.body import SIZED, WITHOUT_OUTPUT
from shadowprice.router.openai.load import load_of
from shadowprice.router.openai.prompt_size import PromptSize
from shadowprice.router.record.finished import Ended
from shadowprice.router.record.statistics import Statistics
from shadowprice.router.settings import Settings

PENALTY_S = 2.0  # a failed request counts as load for so long: who fails fast must not look idle
BUSY = frozenset((429, 503))  # an answer of a worker that lives
TurnedAway = Callable[[str, tuple[str, str], int, float], None]  # address, method and path, status, seconds
OwnAnswer = Callable[[], tuple[int, bytes, bytes]]  # status, content type, body


class Router:
    """One process's: clients come in at `door`, workers are the `fleet`, `dispatcher` decides; on one event loop.

    active: exchanges at a worker. in_flight: those of them that compute something. keeps_prefixes: does anybody hear of
    them when a request has ended. when_ended: recorder, access log, shadow evaluation; when_turned_away: access log.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, flights: Flights) -> None:
        self.settings, self.flights = settings, flights
        self.fleet = Fleet(flights, lockstep=settings.lockstep)
        self.clock = self.fleet.clock
        self.active: set[Exchange] = set()
        self.in_flight = 0
        self.outbox = Outbox(loop, self.active)
        keys, bodies = Keys(settings.api_keys), HeldBodies(-(-settings.max_buffered_size // settings.processes))
        self.door = Door(settings, keys, bodies, loop, self.clock, self.outbox, self.handle, self.turned_away)
        self.statistics = Statistics()
        self.prompt_size = PromptSize(settings.tokenizer)
        self.dispatcher = Dispatcher(settings, loop, self.fleet, self)
        self.fleet.changed, self.fleet.reopened = self.dispatcher.look_at_workers, self.dispatcher.schedule
        self.keeps_prefixes = False
        self.when_ended: list[Ended] = []
        self.when_turned_away: list[TurnedAway] = []
        self.own_answers: dict[str, OwnAnswer] = {"/health": self._health}
        key = settings.worker_api_key
        self.worker_authorization = b"" if key is None else b"Authorization: Bearer %b\r\n" % key.encode()
        self._connector = Connector(loop, settings.connect_timeout_s, self.outbox)

    @property
    def draining(self) -> bool:
        """Is it on its way out."""
        return self.door.closing

    # a request's way

    def handle(self, client: Client, request: Request) -> None:
        """A whole request has come."""
        if request.head.method != b"POST" and (own := self._own_answer(request)) is not None:
            status, kind, body = own
            answer = whole_response(status, kind, body, keep_alive=request.head.keep_alive)
            client.respond(answer, keep_alive=request.head.keep_alive)
            return
        exchange = client.exchange = Exchange(self, client, request, self.clock())
        if request.head.method == b"POST" and request.head.path in SIZED:
            needs = self.dispatcher.needs
            exchange.counts = True
            exchange.load = load_of(
                request,
                self.prompt_size,
                tenants_by_key=len(self.door.keys) > 1,
                blocks=self.keeps_prefixes or needs.prefixes,
                hashes=needs.keys,
            )
        if self.door.closing:
            self.refuse(exchange, 503, "no_worker", "the router is shutting down", 1)
            return
        self.dispatcher.submit(exchange)

    def _own_answer(self, request: Request) -> tuple[int, bytes, bytes] | None:
        """Status, content type and body of what is for no worker to answer."""
        if request.head.method == b"OPTIONS" and not one_hop_less(request):
            return 200, b"text/plain", b""
        own = self.own_answers.get(request.head.path)
        return own() if own is not None and request.head.method in (b"GET", b"HEAD") else None

    @property
    def block_tokens(self) -> int:
        """Tokens of a prefix block."""
        return self.prompt_size.block_tokens

    def start(self, exchange: Exchange, worker: LiveWorker, now_s: float) -> None:
        """Send it to this worker."""
        self.active.add(exchange)
        if exchange.counts:
            self.in_flight += 1
        exchange.start(worker, now_s)

    def connect(self, exchange: Exchange) -> None:
        """Open a connection to the exchange's worker for it; what it does not wait for any more is there for others."""
        worker, attempt = exchange.worker, exchange.attempts
        assert worker is not None

        def opened(upstream: Upstream) -> None:
            if exchange.worker is worker and exchange.attempts == attempt:
                exchange.connected(upstream)
            elif worker in self.fleet.workers:
                worker.pool.idle.append(upstream)
            else:
                upstream.close()

        def failed(reason: str, error: Exception) -> None:
            if isinstance(error, ConnectionRefusedError):
                worker.refused(self.clock(), "nothing listens")
            if exchange.worker is worker and exchange.attempts == attempt:
                self.lost(exchange, reason, self.clock(), stale=False)

        self._connector.open(worker.address, worker.pool, opened, failed)

    # how it ended

    def retries(self, exchange: Exchange, status: int, now_s: float) -> bool:
        """The worker answered with an error: try another, or pass the answer on (False)."""
        worker = exchange.worker
        assert worker is not None
        if status in BUSY:
            worker.busy(now_s)
        else:
            worker.failed(now_s, f"answered {status}")
        others = any(other.open_at(now_s) and other not in exchange.tried for other in self.fleet.workers)
        if exchange.attempts > self.settings.max_retries or not others:
            if status == 500 and len(exchange.tried) > 1:  # they agree: the request's fault, not theirs
                for other in exchange.tried:
                    other.forgive()
            return False
        self._again(exchange, now_s, penalty=True)
        return True

    def lost(self, exchange: Exchange, reason: str, now_s: float, *, stale: bool) -> None:
        """The worker will not answer. stale: an idle connection had been closed, which is nobody's failure."""
        worker = exchange.worker
        assert worker is not None
        if not stale:
            worker.failed(now_s, reason)
        if exchange.head_sent:
            self._break_off(exchange, now_s)
        elif stale or exchange.attempts <= self.settings.max_retries:
            exchange.attempts -= stale
            if stale:
                exchange.tried.discard(worker)
            self._again(exchange, now_s, penalty=not stale)
        else:
            message = f"{exchange.attempts} workers failed; the last, {worker.name}: {reason}"
            self._answer_with_error(exchange, 502, message, now_s)

    def give_up(self, exchange: Exchange, now_s: float) -> None:
        """It took longer than a request may."""
        if exchange.head_sent:
            self._break_off(exchange, now_s)
        else:
            message = f"no answer within {self.settings.request_timeout_s:g} s"
            self._answer_with_error(exchange, 504, message, now_s)

    def worker_is_dead(self, worker: LiveWorker, reason: str, now_s: float) -> None:
        """Its probes failed: what it has not begun to answer goes elsewhere."""
        for exchange in self.active_at(worker):
            if not exchange.head_sent:
                self.lost(exchange, reason, now_s, stale=False)

    def remove(self, worker: LiveWorker) -> None:
        """Take it away; what it still has is sent elsewhere, or cut."""
        for exchange in self.active_at(worker):
            self.lost(exchange, "the worker was removed", self.clock(), stale=True)
        self.fleet.remove(worker)

    def active_at(self, worker: LiveWorker) -> list[Exchange]:
        """What this worker has."""
        return [exchange for exchange in self.active if exchange.worker is worker]

    def _break_off(self, exchange: Exchange, now_s: float) -> None:
        self.ended(exchange, now_s, "truncated")
        exchange.client.abort()

    def _answer_with_error(self, exchange: Exchange, status: int, message: str, now_s: float) -> None:
        client, keep_alive = exchange.client, exchange.request.head.keep_alive
        exchange.status = status
        self.ended(exchange, now_s, "finished")
        client.respond(error_response(status, message, keep_alive=keep_alive), keep_alive=keep_alive)

    def _again(self, exchange: Exchange, now_s: float, *, penalty: bool) -> None:
        worker = exchange.worker
        assert worker is not None
        worker.counts.retries_total += 1
        self.statistics.note_retry()
        self._leave(exchange, now_s, penalty=penalty)
        self.dispatcher.submit(exchange)

    def _leave(self, exchange: Exchange, now_s: float, *, penalty: bool) -> None:
        self.active.discard(exchange)
        self.dispatcher.room_was_made()
        if exchange.worker is not None and exchange.counts:
            self.in_flight -= 1
        exchange.leave_worker(keep_load_until_s=now_s + PENALTY_S if penalty else 0.0)

    def ended(self, exchange: Exchange, now_s: float, how: str) -> None:
        """Over, one way or another; whoever keeps account hears of it."""
        if exchange.over:
            return
        exchange.over = True
        worker = exchange.worker
        self.dispatcher.waiting.pop(exchange, None)
        if worker is not None and how == "finished" and exchange.status < 500 and exchange.status not in BUSY:
            worker.succeeded()
        if learn_usage(exchange, how):
            self.prompt_size.learn(exchange.load.ask, exchange.load.prompt_tokens)
        if exchange.counts and worker is not None:
            worker.served(exchange.load.prompt_tokens, exchange.generated)
        row = row_of_end(exchange, now_s, how, self.block_tokens if self.keeps_prefixes else 0)
        self.statistics.note(row, now_s)
        for listener in self.when_ended:
            listener(row, exchange.request, exchange.client.address)
        self._leave(exchange, now_s, penalty=exchange.status >= 500 or how == "truncated")
        if exchange.counts and how == "finished" and exchange.request.head.path not in WITHOUT_OUTPUT:
            self.dispatcher.ended(exchange)
        self.dispatcher.schedule()

    def refuse(self, exchange: Exchange, status: int, reason: str, message: str, retry_after_s: int) -> None:
        """Answer that it is not served now."""
        self.statistics.note_refusal(reason)
        exchange.status = status
        client, keep_alive = exchange.client, exchange.request.head.keep_alive and not self.door.closing
        self.ended(exchange, self.clock(), "refused")
        extra = b"Retry-After: %d\r\n" % retry_after_s
        client.respond(error_response(status, message, keep_alive=keep_alive, extra=extra), keep_alive=keep_alive)

    def retry_after_s(self, waiting: int, now_s: float) -> int:
        """Seconds until what waits now will have been taken up, at the rate at which requests end; 1 to 60."""
        per_s = self.statistics.ends_per_s(now_s)
        return min(max(math.ceil(waiting / per_s), 1), 60) if per_s > 0 else 5

    def turned_away(self, client: Client, status: int, reason: str) -> None:
        """What never became an exchange was refused: it came not whole, not in time, or without a key."""
        self.statistics.note_turned_away(status, reason)
        now_s, incoming = self.clock(), client.incoming
        for listener in self.when_turned_away:
            listener(client.address, incoming.seen, status, now_s - (incoming.begun_s or now_s))

    @property
    def healthy(self) -> bool:
        """Is there a worker that answered its last probe, and is the router not on its way out."""
        return not self.door.closing and self.fleet.healthy

    def _health(self) -> tuple[int, bytes, bytes]:
        return (200, b"text/plain", b"") if self.healthy else (503, b"text/plain", b"no worker is up\n")
