"""The router itself: takes requests from clients, has them placed, and settles how each ended."""

import asyncio
import hmac
import ssl
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import RouterError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.router.decide.dispatch import Dispatcher
from shadowprice.router.exchange import BUSY, Exchange
from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.worker import DRAINING, NOT_PROBED, PROBING, UP, LiveWorker
from shadowprice.router.http.client import Client
from shadowprice.router.http.head import Fields, error_response, whole_response
from shadowprice.router.http.outbox import Outbox
from shadowprice.router.http.request import Request, one_hop_less
from shadowprice.router.http.upstream import Upstream
from shadowprice.router.openai.body import SIZED, WITHOUT_OUTPUT, key_of, prefix_blocks, read_body
from shadowprice.router.openai.prompt_size import PromptSize
from shadowprice.router.record.statistics import Statistics
from shadowprice.router.settings import Settings
from shadowprice.routing.surface import Active

BUSY_S = 0.5  # a worker that answered 429 or 503 is left alone for so long
PENALTY_S = 2.0  # a failed request counts as load for so long: who fails fast must not look idle
OPEN_PATHS = frozenset(("/health", "/metrics", "/ping"))  # need no key, as in vLLM
Ended = Callable[[Exchange, float, str], None]
TurnedAway = Callable[[Client, int, float], None]
OwnAnswer = Callable[[], tuple[int, bytes, bytes]]  # status, content type, body


class Router:
    """State shared by all connections of one process; runs on one event loop."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, flights: Flights) -> None:
        self.settings = settings
        self.loop = loop
        self.clock = time.monotonic  # the loop's own may be as old as this turn
        self.workers: list[LiveWorker] = []
        self.flights = flights
        self._next_serial = 0
        self.clients: set[Client] = set()
        self.active: set[Exchange] = set()  # at a worker
        self.outbox = Outbox(loop, self.active)
        self.statistics = Statistics()
        self.prompt_size = PromptSize(settings.tokenizer)
        self.dispatcher = Dispatcher(self)
        self.draining = False
        self.in_flight = 0  # of those that compute something
        self.held_bytes = 0  # of bodies that have come and may still have to be sent
        self.most_held_bytes = -(-settings.max_buffered_size // settings.processes)
        self.keeps_prefixes = False  # does anybody hear of them when a request has ended
        self.penalties: deque[tuple[float, int]] = deque()
        self.when_ended: list[Ended] = []  # recorder, access log, shadow evaluation
        self.when_turned_away: list[TurnedAway] = []  # access log
        self.own_answers: dict[str, OwnAnswer] = {"/health": self._health}
        self._keys = [key.encode() for key in settings.api_keys]
        key = settings.worker_api_key
        self.worker_authorization = b"" if key is None else b"Authorization: Bearer %b\r\n" % key.encode()
        self._connecting: set[asyncio.Task[None]] = set()
        self._ssl: ssl.SSLContext | None = None
        self.model = Worker(StepTime(0.02, 0.0, 1e-7, 1e-5))

    # workers

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
        self._set_workers()
        self.dispatcher.schedule()
        return worker

    def remove(self, worker: LiveWorker) -> None:
        """Take it away; what it still has is sent elsewhere, or cut."""
        for exchange in [exchange for exchange in self.active if exchange.worker is worker]:
            self.lost(exchange, "the worker was removed", self.clock(), stale=True)
        worker.drop_idle()
        self.workers.remove(worker)
        self._set_workers()

    def _set_workers(self) -> None:
        self.flights.set_workers([worker.serial for worker in self.workers])
        self.dispatcher.set_workers([worker.name for worker in self.workers])

    def speeds(self) -> FloatArray | None:
        """Of the workers, relative to one another; None where they are alike, or nobody knows."""
        if self.settings.lockstep:
            return None
        speeds = [worker.speed for worker in self.workers]
        return None if min(speeds) == max(speeds) else np.array(speeds)

    def survey(self) -> tuple[Active, list[list[int]]]:
        """`Flights.survey`, and what the workers last reported beyond it."""
        active, lists = self.flights.survey()
        running, kv_tokens, waiting, _ = lists
        most = (max(running), max(kv_tokens))
        lockstep = self.settings.lockstep
        for g, worker in enumerate(self.workers):
            worker.load = most if lockstep else (running[g], kv_tokens[g])
            if worker.foreign_requests:
                kv_tokens[g] += worker.foreign_kv_tokens
                waiting[g] += worker.foreign_requests
                self.flights.sums[1:3, g] = kv_tokens[g], waiting[g]
        return active, lists

    # a request's way

    def handle(self, client: Client, request: Request) -> None:
        """A whole request has come."""
        own = self._own_answer(request)
        if own is not None:
            status, kind, body = own
            answer = whole_response(status, kind, body, keep_alive=request.keep_alive)
            client.respond(answer, keep_alive=request.keep_alive)
            return
        now_s = self.clock()
        exchange = client.exchange = Exchange(self, client, request, now_s)
        if request.method == b"POST" and request.path in SIZED:
            self._measure(exchange)
        if self.draining:
            self.refuse(exchange, 503, "no_worker", "the router is shutting down", 1)
            return
        self.dispatcher.submit(exchange)

    def _own_answer(self, request: Request) -> tuple[int, bytes, bytes] | None:
        """Status, content type and body of what is for no worker to answer."""
        if request.method == b"OPTIONS" and not one_hop_less(request):
            return 200, b"text/plain", b""
        own = self.own_answers.get(request.path)
        return own() if own is not None and request.method in (b"GET", b"HEAD") else None

    def _measure(self, exchange: Exchange) -> None:
        """How much is asked for, and by whom."""
        request = exchange.request
        exchange.counts = True
        exchange.asked, prompt = read_body(request.body or b"")
        exchange.prompt_tokens = self.prompt_size.tokens(exchange.asked, prompt)
        session, tenant = request.fields.get(b"x-session-id"), request.fields.get(b"x-tenant-id")
        if not tenant and len(self._keys) > 1:
            tenant = request.fields.get(b"authorization")
        user = exchange.asked.user.encode()
        exchange.session = key_of(session or user) if session or user else -1
        exchange.tenant = key_of(tenant or user) if tenant or user else -1
        if self.keeps_prefixes or self.dispatcher.uses_prefixes:
            exchange.prefix = prefix_blocks(prompt)
        exchange.hashed_by = exchange.session
        if exchange.session < 0 and not exchange.prefix and self.dispatcher.hashes:
            exchange.hashed_by = key_of(bytes(prompt))

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
        """Open a connection to the exchange's worker for it."""
        task = self.loop.create_task(self._connect(exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, exchange: Exchange) -> None:
        worker, attempt = exchange.worker, exchange.attempts
        assert worker is not None
        address = worker.address
        if address.tls and self._ssl is None:
            self._ssl = ssl.create_default_context()
        context = self._ssl if address.tls else None
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                _, upstream = await self.loop.create_connection(
                    lambda: Upstream(worker, self.outbox), address.host, address.port, ssl=context
                )
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: a host name that cannot be one
            if isinstance(error, ConnectionRefusedError):
                worker.refused(self.clock(), "nothing listens")
            if exchange.worker is worker and exchange.attempts == attempt:
                reason = "no connection in time" if isinstance(error, TimeoutError) else f"no connection: {error}"
                self.lost(exchange, reason, self.clock(), stale=False)
            return
        if exchange.worker is worker and exchange.attempts == attempt:
            exchange.connected(upstream)
        elif worker in self.workers:
            worker.idle.append(upstream)
        else:
            upstream.close()

    # how it ended

    def retries(self, exchange: Exchange, status: int, now_s: float) -> bool:
        """The worker answered with an error: try another, or pass the answer on (False)."""
        worker = exchange.worker
        assert worker is not None
        if status in BUSY:
            worker.busy_until_s = now_s + BUSY_S
            worker.errors_total += 1
        else:
            worker.failed(now_s, f"answered {status}")
        others = any(other.open_at(now_s) and other not in exchange.tried for other in self.workers)
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
            self.ended(exchange, now_s, "truncated")
            exchange.client.abort()
        elif stale or exchange.attempts <= self.settings.max_retries:
            exchange.attempts -= stale
            if stale:
                exchange.tried.discard(worker)
            self._again(exchange, now_s, penalty=not stale)
        else:
            client, keep_alive = exchange.client, exchange.request.keep_alive
            message = f"{exchange.attempts} workers failed; the last, {worker.name}: {reason}"
            exchange.status = 502
            self.ended(exchange, now_s, "finished")
            client.respond(error_response(502, message, keep_alive=keep_alive), keep_alive=keep_alive)

    def _again(self, exchange: Exchange, now_s: float, *, penalty: bool) -> None:
        worker = exchange.worker
        assert worker is not None
        worker.retries_total += 1
        self.statistics.retries_total += 1
        self._leave(exchange, now_s, penalty=penalty)
        self.dispatcher.submit(exchange)

    def _leave(self, exchange: Exchange, now_s: float, *, penalty: bool) -> None:
        self.active.discard(exchange)
        if self.dispatcher.turns is not None:
            self.dispatcher.turns.room_was_made()
        if exchange.worker is not None and exchange.counts:
            self.in_flight -= 1
        row = exchange.leave_worker(keep_load=penalty)
        if penalty and row >= 0:
            self.penalties.append((now_s + PENALTY_S, row))

    def ended(self, exchange: Exchange, now_s: float, how: str) -> None:
        """Over, one way or another; whoever keeps account hears of it."""
        if exchange.over:
            return
        exchange.over = True
        worker = exchange.worker
        self.dispatcher.waiting.pop(exchange, None)
        if worker is not None and how == "finished" and exchange.status < 500 and exchange.status not in BUSY:
            worker.succeeded()
        if exchange.usage is not None:
            prompt, generated = exchange.usage
            if how != "finished":  # what was told may be of the beginning
                generated = max(generated, exchange.generated)
            if exchange.counts and prompt:
                self.prompt_size.learn(exchange.asked, prompt)
                exchange.prompt_tokens = prompt
            exchange.generated = generated or exchange.generated
        if exchange.counts and worker is not None:
            worker.prompt_tokens_total += exchange.prompt_tokens
            worker.generated_tokens_total += exchange.generated
        failed = exchange.status >= 500 or how == "truncated"
        self.statistics.note(exchange, now_s, how)
        for listener in self.when_ended:
            listener(exchange, now_s, how)
        self._leave(exchange, now_s, penalty=failed)
        if exchange.counts and how == "finished" and exchange.request.path not in WITHOUT_OUTPUT:
            self.dispatcher.ended(exchange)
        self.dispatcher.schedule()

    def refuse(self, exchange: Exchange, status: int, reason: str, message: str, retry_after_s: int) -> None:
        """Answer that it is not served now."""
        self.statistics.refused[reason] += 1
        exchange.status = status
        client, keep_alive = exchange.client, exchange.request.keep_alive and not self.draining
        self.ended(exchange, self.clock(), "refused")
        extra = b"Retry-After: %d\r\n" % retry_after_s
        client.respond(error_response(status, message, keep_alive=keep_alive, extra=extra), keep_alive=keep_alive)

    def turned_away(self, client: Client, status: int, reason: str) -> None:
        """What never became an exchange was refused: it came not whole, not in time, or without a key."""
        self.statistics.refused[reason] += 1
        self.statistics.responses[f"{status // 100}xx"] += 1
        for listener in self.when_turned_away:
            listener(client, status, self.clock())

    def unauthorized(self, fields: Fields, target: bytes) -> tuple[int, str] | None:
        """The refusal of a request without a valid key, None if it has one or needs none."""
        if not self._keys or target.partition(b"?")[0].decode("latin-1") in OPEN_PATHS:
            return None
        given = fields.get(b"authorization", b"")
        given = given[7:] if given[:7].lower() == b"bearer " else b""
        valid = False
        for key in self._keys:  # all are compared, so that time tells nothing
            valid |= hmac.compare_digest(key, given)
        return None if valid else (401, "no valid key; expected the header 'Authorization: Bearer KEY'")

    @property
    def healthy(self) -> bool:
        """Is there a worker that answered its last probe, and is the router not on its way out."""
        return not self.draining and any(
            worker.state == UP or (worker.state == PROBING and worker.reason != NOT_PROBED) for worker in self.workers
        )

    def _health(self) -> tuple[int, bytes, bytes]:
        return (200, b"text/plain", b"") if self.healthy else (503, b"text/plain", b"no worker is up\n")
