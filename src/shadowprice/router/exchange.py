"""One request's way to a worker and back: attempts, tokens counted, the answer framed anew for the client."""

import time
from collections.abc import Callable
from typing import Protocol

from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.http.head import named_by, request_head, response_head, without
from shadowprice.router.http.outbox import Outbox, Writer
from shadowprice.router.http.request import Request
from shadowprice.router.http.upstream import BODILESS, Upstream
from shadowprice.router.openai.load import NONE, Load
from shadowprice.router.openai.reading import Reading
from shadowprice.router.record.finished import FinishedRequest

STALE_S = 1.0  # an idle connection that turns out to be closed does so at once; later, the worker broke it
CHUNKED = b"Transfer-Encoding: chunked\r\n"
RETRIED = frozenset((500, 502, 503, 504, 429))  # another worker may do better


class ClientSide(Protocol):
    """The client that waits for the answer."""

    transport: Writer
    address: str
    paused: bool

    def let_go_of_body(self) -> None:
        """The request will not be sent again."""

    def answered(self, *, keep_alive: bool) -> None:
        """The answer is written."""

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""

    def abort(self) -> None:
        """Break off."""


class Surroundings(Protocol):
    """What is around an exchange: who settles what becomes of it, and what it shares with the others."""

    clock: Callable[[], float]
    flights: Flights
    outbox: Outbox
    worker_authorization: bytes

    @property
    def draining(self) -> bool:
        """May no connection be kept for a further request."""
        ...

    def connect(self, exchange: "Exchange") -> None:
        """Open a connection to its worker for it."""

    def retries(self, exchange: "Exchange", status: int, now_s: float) -> bool:
        """The worker answered with an error: try another, or pass the answer on (False)."""
        ...

    def lost(self, exchange: "Exchange", reason: str, now_s: float, *, stale: bool) -> None:
        """The worker will not answer. stale: an idle connection had been closed, which is nobody's failure."""

    def ended(self, exchange: "Exchange", now_s: float, how: str) -> None:
        """It is over."""


class Exchange:
    """States: waiting (no worker), asked (no byte of the answer yet), answering, over.

    load: what it brings; counts: does it compute something, so that its load counts. passes: younger ones that went
    before it. tried: workers that it was sent to. row: in the table of requests in flight, -1 without one.
    """

    __slots__ = (
        "around",
        "arrival_s",
        "attempts",
        "client",
        "counts",
        "first_s",
        "framing",
        "generated",
        "head_sent",
        "last_s",
        "load",
        "over",
        "passes",
        "reading",
        "request",
        "row",
        "sent_s",
        "status",
        "tried",
        "upstream",
        "was_stale",
        "worker",
    )

    def __init__(self, around: Surroundings, client: ClientSide, request: Request, now_s: float) -> None:
        self.around, self.client, self.request = around, client, request
        self.load: Load = NONE
        self.counts = self.head_sent = self.over = self.was_stale = False
        self.arrival_s, self.sent_s, self.first_s, self.last_s = now_s, 0.0, 0.0, now_s
        self.worker: LiveWorker | None = None
        self.upstream: Upstream | None = None
        self.reading: Reading | None = None
        self.row = -1
        self.attempts = self.passes = self.generated = self.status = 0
        self.tried: set[LiveWorker] = set()
        self.framing = b""

    @property
    def prompt_tokens(self) -> int:
        """As far as known."""
        return self.load.prompt_tokens

    @property
    def tenant(self) -> int:
        """Hash of its name, -1 without one."""
        return self.load.tenant

    @property
    def priority(self) -> int:
        """As in vLLM: smaller is more urgent."""
        return self.load.ask.priority

    @property
    def deadline_s(self) -> float:
        """Seconds from its arrival within which its last token is asked for, 0 for none."""
        return self.load.deadline_s

    @property
    def keeps_alive(self) -> bool:
        """May another request follow on the client's connection: not where the end of the answer is its end."""
        return self.request.keep_alive and (self.framing is CHUNKED or not self.framing)

    # to the worker

    def start(self, worker: LiveWorker, now_s: float) -> None:
        """Send the request to this worker."""
        self.worker = worker
        self.attempts += 1
        self.tried.add(worker)
        self.sent_s = self.last_s = now_s
        worker.sent()
        if self.counts:
            self.row = self.around.flights.take(worker.serial, self.load.prompt_tokens)
        if worker.idle:
            self.connected(worker.idle.pop())
        else:
            self.around.connect(self)

    def connected(self, upstream: Upstream) -> None:
        """A connection for this exchange."""
        self.upstream, worker, request = upstream, self.worker, self.request
        assert worker is not None
        replaced = named_by(request.connection)
        extra = worker.rank_line
        if self.around.worker_authorization:
            replaced |= {b"authorization"}
            extra += self.around.worker_authorization
        if worker.rank is not None:
            replaced |= {b"x-data-parallel-rank"}
        if b"host" not in request.fields:  # HTTP/1.0 may go without one, what is sent on may not
            extra += b"Host: %b\r\n" % worker.address.authority.encode()
        lines = without(replaced, request.lines) if replaced else request.lines
        body = request.body
        target = worker.address.path.encode() + request.target if worker.address.path else request.target
        head = request_head(request.method, target, lines, None if body is None else len(body), extra)
        upstream.send(head, body or b"", self, only_head=request.method == b"HEAD")

    # from the worker

    def on_response(self, body: list[bytes], *, complete: bool) -> None:
        """Part of the answer is there."""
        upstream, worker = self.upstream, self.worker
        assert upstream is not None and worker is not None
        now_s = self.around.clock()
        worker.last_sign_s = now_s
        head = b""
        if not self.head_sent:
            if not body and not complete:
                return
            if upstream.status in RETRIED and self.around.retries(self, upstream.status, now_s):
                return
            if self.client.paused and not complete:  # by the answer before
                self.pause()
            head = self._head(upstream, now_s)
            if self.load.ask.stream and self.sent_s > worker.newest_begun_s:
                worker.newest_begun_s = self.sent_s
        data = body[0] if len(body) == 1 else b"".join(body)
        if data and self.reading is not None:
            self._count(self.reading.piece(data, self.generated), now_s)
        if data := self._framed(head, data, complete=complete and self._ends_whole(upstream)):
            self.around.outbox.write(self.client.transport, data)
        self.last_s = now_s
        if complete:
            self._complete(now_s)

    def on_chunk(self, chunk: bytes, body_at: int) -> None:
        """A whole chunk of the answer: one of whole events passes as it is."""
        reading, worker = self.reading, self.worker
        tokens = -1 if reading is None or self.framing is not CHUNKED else reading.chunk(chunk)
        if worker is None or tokens < 0:
            self.on_response([chunk[body_at:-2]], complete=False)
            return
        now_s = worker.last_sign_s = self.around.clock()
        self._count(tokens, now_s)
        self.around.outbox.write(self.client.transport, chunk)
        self.last_s = now_s

    def on_lost(self, reason: str) -> None:
        """The connection to the worker broke."""
        now_s = self.around.clock()
        upstream = self.upstream
        untouched = upstream is not None and upstream.used and not upstream.received and not self.head_sent
        stale = untouched and not self.was_stale and now_s - self.sent_s < STALE_S
        self.was_stale |= stale
        self.around.lost(self, reason, now_s, stale=stale)

    def _head(self, upstream: Upstream, now_s: float) -> bytes:
        """The answer's head as it goes to the client."""
        self.head_sent = True
        self.first_s = now_s
        self.request.body = None  # it will not be sent again
        self.client.let_go_of_body()
        self.status = status = upstream.status
        self.framing = b""
        bodiless = upstream.only_head or status in BODILESS
        if not bodiless and not upstream.has_length:
            self.framing = CHUNKED if self.request.chunks_allowed else b"Connection: close\r\n"
        if self.counts:
            events = upstream.content_type.lower().startswith(b"text/event-stream")
            self.reading = Reading(events=events, framed=upstream.framed)
        dropped = named_by(upstream.connection)
        if status == 204:  # has no content, and so no length
            dropped |= {b"content-length"}
        lines = without(dropped, upstream.lines) if dropped else upstream.lines
        keep_alive = self.keeps_alive and not self.around.draining
        framing = self.framing if self.framing is CHUNKED else b""
        if keep_alive and not self.request.chunks_allowed:
            framing += b"Connection: keep-alive\r\n"
        return response_head(status, lines, framing, keep_alive=keep_alive)

    def _framed(self, head: bytes, data: bytes, *, complete: bool) -> bytes:
        """All that came in one read goes out in one write."""
        if self.framing is not CHUNKED:
            return head + data
        end = b"0\r\n\r\n" if complete else b""
        return b"%b%x\r\n%b\r\n%b" % (head, len(data), data, end) if data else head + end

    def _count(self, tokens: int, now_s: float) -> None:
        """So many more tokens; -1 when an event whose beginning came before turns out to hold none."""
        if not tokens:
            return
        worker = self.worker
        if self.generated and worker is not None and tokens > 0:
            if worker.steps.metronome is self:
                worker.steps.note((now_s - self.last_s) / tokens)
            elif worker.steps.metronome is None:
                worker.steps.metronome = self
        elif not self.generated:
            self.first_s = now_s
        self.generated += tokens
        if self.row >= 0:
            self.around.flights.generated[self.row] = self.generated

    def _ends_whole(self, upstream: Upstream) -> bool:
        """Is this the answer's end, and not that of a worker that died: a stream without framing has to say so."""
        reading = self.reading
        return upstream.framed or reading is None or not reading.events or reading.done

    def _complete(self, now_s: float) -> None:
        upstream = self.upstream
        assert upstream is not None
        ends_whole = self._ends_whole(upstream)
        keep_alive = self.keeps_alive
        if self.client.paused:
            self.resume()
        upstream.release()
        self.upstream = None
        if self.reading is not None:
            self.reading.end()
        self.around.ended(self, now_s, "finished" if ends_whole else "truncated")
        if ends_whole:
            self.client.answered(keep_alive=keep_alive)
        else:
            self.client.abort()

    # from the client

    def client_gone(self) -> None:
        """The client left: so does the worker's request."""
        self._drop_upstream()
        self.around.ended(self, self.around.clock(), "client_abort")

    def pause(self) -> None:
        """The client reads slowly."""
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.pause_reading()

    def resume(self) -> None:
        """The client has caught up."""
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.resume_reading()
            self.last_s = self.around.clock()  # the silence was the client's

    # the end

    def learn_usage(self, how: str) -> bool:
        """Take what the worker says it took for what was counted; does it name the prompt."""
        usage = None if self.reading is None else self.reading.usage
        if usage is None:
            return False
        prompt, generated = usage
        if how != "finished":  # what was told may be of the beginning
            generated = max(generated, self.generated)
        self.generated = generated or self.generated
        if prompt:
            self.load.prompt_tokens = prompt
        return prompt > 0

    def row_of_end(self, now_s: float, how: str, block_tokens: int) -> FinishedRequest:
        """What those who keep account are told. block_tokens: of a block of its prefix."""
        load, generated, arrival_s, first_s = self.load, self.generated, self.arrival_s, self.first_s
        streamed = generated > 0 and self.reading is not None and self.reading.events
        return FinishedRequest(
            time.time() - (now_s - arrival_s),
            load.prompt_tokens,
            generated,
            load.session if load.session >= 0 else None,
            load.tenant if load.tenant >= 0 else None,
            load.ask.priority or None,
            load.prefix,
            block_tokens,
            "" if self.worker is None else self.worker.name,
            (self.sent_s or now_s) - arrival_s,
            first_s - arrival_s if streamed else None,
            now_s - arrival_s,
            self.status,
            load.ask.stream,
            how,
            (self.last_s - first_s) / (generated - 1) if streamed and generated > 1 else None,
            first_s - arrival_s if first_s else None,
            self.attempts,
            self.counts,
            load.deadline_s or None,
        )

    def leave_worker(self, *, keep_load_until_s: float = 0.0) -> None:
        """No longer at its worker: its connection is closed, its load off, or kept until then."""
        worker, self.worker = self.worker, None
        self._drop_upstream()
        if worker is not None:
            worker.left(self)
        row, self.row = self.row, -1
        if row >= 0 and keep_load_until_s:
            self.around.flights.keep(row, keep_load_until_s)
        elif row >= 0:
            self.around.flights.free(row)

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()
