"""One request's way to a worker and back: attempts, tokens counted, the answer framed anew for the client."""

from typing import TYPE_CHECKING

from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.http.head import named_by, request_head, response_head, without
from shadowprice.router.http.upstream import BODILESS, Upstream
from shadowprice.router.openai.body import NOTHING, Asked, usage_of_whole
from shadowprice.router.openai.events import (
    DONE,
    EVENT,
    ROLE,
    USAGE,
    WHOLE,
    later_usage,
    tail_of,
    token_event,
    tokens_in,
    tokens_of_whole,
)

if TYPE_CHECKING:
    from shadowprice.router.http.client import Client
    from shadowprice.router.http.request import Request
    from shadowprice.router.router import Router

STALE_S = 1.0  # an idle connection that turns out to be closed does so at once; later, the worker broke it
WHOLE_CHUNK = WHOLE + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
RETRIED = frozenset((500, 502, 503, 504, 429))  # another worker may do better
BUSY = frozenset((429, 503))  # an answer of a worker that lives
LARGEST_WITH_USAGE = 1 << 22  # bytes of a plain answer in which token counts are looked for


class Exchange:
    """States: waiting (no worker), asked (no byte of the answer yet), answering, over."""

    __slots__ = (
        "arrival_s",
        "asked",
        "attempts",
        "client",
        "counts",
        "done",
        "event",
        "event_stream",
        "first_s",
        "framing",
        "generated",
        "hashed_by",
        "head_sent",
        "last_s",
        "over",
        "passes",
        "passes_whole",
        "plain",
        "plain_bytes",
        "prefix",
        "prompt_tokens",
        "request",
        "router",
        "row",
        "sent_s",
        "session",
        "status",
        "tail",
        "tenant",
        "tried",
        "upstream",
        "usage",
        "was_stale",
        "worker",
    )

    def __init__(self, router: "Router", client: "Client", request: "Request", now_s: float) -> None:
        self.router, self.client, self.request = router, client, request
        self.asked: Asked = NOTHING
        self.prompt_tokens = 0
        self.session = self.tenant = -1
        self.hashed_by = -1  # what `consistent_hash` places it by: its session, or a short prompt; -1: its prefix
        self.prefix: tuple[int, ...] = ()
        self.arrival_s, self.sent_s, self.first_s, self.last_s = now_s, 0.0, 0.0, now_s
        self.worker: LiveWorker | None = None
        self.upstream: Upstream | None = None
        self.row = -1
        self.attempts = self.passes = self.generated = self.status = 0
        self.tried: set[LiveWorker] = set()
        self.head_sent = self.over = self.event_stream = self.done = self.was_stale = False
        self.counts = False  # is its load counted: a request that computes something
        self.framing = b""
        self.tail = b"\n"
        self.event = EVENT
        self.passes_whole = False  # may a chunk of whole events pass as it is: nothing of the one before is open
        self.plain: list[bytes] = []
        self.plain_bytes = 0
        self.usage: tuple[int, int] | None = None

    @property
    def priority(self) -> int:
        """As in vLLM: smaller is more urgent."""
        return self.asked.priority

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
        worker.in_flight += 1
        worker.requests_total += 1
        if self.counts:
            self.row = self.router.flights.take(worker.serial, self.prompt_tokens)
        if worker.idle:
            self.upstream = worker.idle.pop()
            self._send()
        else:
            self.router.connect(self)

    def connected(self, upstream: Upstream) -> None:
        """A new connection for this exchange."""
        self.upstream = upstream
        self._send()

    def _send(self) -> None:
        assert self.upstream is not None and self.worker is not None
        request, worker = self.request, self.worker
        replaced = named_by(request.connection)
        extra = worker.rank_line
        if self.router.worker_authorization:
            replaced |= {b"authorization"}
            extra += self.router.worker_authorization
        if worker.rank is not None:
            replaced |= {b"x-data-parallel-rank"}
        if b"host" not in request.fields:  # HTTP/1.0 may go without one, what is sent on may not
            extra += worker.host_line
        lines = without(replaced, request.lines) if replaced else request.lines
        body = request.body
        target = worker.address.path.encode() + request.target if worker.address.path else request.target
        head = request_head(request.method, target, lines, None if body is None else len(body), extra)
        self.upstream.send(head, body or b"", self, only_head=request.method == b"HEAD")

    # from the worker

    def on_response(self, body: list[bytes], *, complete: bool) -> None:
        """Part of the answer is there."""
        upstream, worker = self.upstream, self.worker
        assert upstream is not None and worker is not None
        now_s = self.router.clock()
        worker.last_sign_s = now_s
        if not self.head_sent:
            if not body and not complete:
                return
            if upstream.status in RETRIED and self.router.retries(self, upstream.status, now_s):
                return
            if self.client.paused and not complete:  # by the answer before
                self.pause()
            head = self._head(upstream, now_s)
            if self.asked.stream and self.sent_s > worker.newest_begun_s:
                worker.newest_begun_s = self.sent_s
        else:
            head = b""
        if body and self.counts:
            self._count(upstream, body, now_s)
        if data := self._framed(head, body, complete=complete and self._ends_whole(upstream)):
            self.router.outbox.write(self.client.transport, data)
        self.last_s = now_s
        if complete:
            self._complete(now_s)

    def on_chunk(self, chunk: bytes, body_at: int) -> None:
        """A whole chunk of the answer: one of whole events passes as it is."""
        worker = self.worker
        passes = self.passes_whole and USAGE not in chunk and ROLE not in chunk and chunk.endswith(WHOLE_CHUNK)
        if worker is None or not passes:
            self.on_response([chunk[body_at:-2]], complete=False)
            return
        now_s = worker.last_sign_s = self.router.clock()
        self._generated(chunk.count(self.event), now_s)  # the line of the chunk's size stands before the first
        self.router.outbox.write(self.client.transport, chunk)
        self.last_s = now_s

    def on_lost(self, reason: str) -> None:
        """The connection to the worker broke."""
        now_s = self.router.clock()
        upstream = self.upstream
        untouched = upstream is not None and upstream.used and not upstream.received and not self.head_sent
        stale = untouched and not self.was_stale and now_s - self.sent_s < STALE_S
        self.was_stale |= stale
        self.router.lost(self, reason, now_s, stale=stale)

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
        self.event_stream = upstream.content_type.lower().startswith(b"text/event-stream")
        dropped = named_by(upstream.connection)
        if status == 204:  # has no content, and so no length
            dropped |= {b"content-length"}
        lines = without(dropped, upstream.lines) if dropped else upstream.lines
        keep_alive = self.keeps_alive and not self.router.draining
        framing = self.framing if self.framing is CHUNKED else b""
        if keep_alive and not self.request.chunks_allowed:
            framing += b"Connection: keep-alive\r\n"
        return response_head(status, lines, framing, keep_alive=keep_alive)

    def _framed(self, head: bytes, body: list[bytes], *, complete: bool) -> bytes:
        """All that came in one read goes out in one write."""
        data = body[0] if len(body) == 1 else b"".join(body)
        if self.framing is not CHUNKED:
            return head + data
        end = b"0\r\n\r\n" if complete else b""
        return b"%b%x\r\n%b\r\n%b" % (head, len(data), data, end) if data else head + end

    def _count(self, upstream: Upstream, body: list[bytes], now_s: float) -> None:
        """Tokens of an event stream as they come; a plain answer is kept for its usage."""
        if not self.event_stream:
            self.plain_bytes += sum(map(len, body))
            if self.plain_bytes <= LARGEST_WITH_USAGE:
                self.plain += body
            return
        data = body[0] if len(body) == 1 else b"".join(body)
        before = self.tail
        tokens = tokens_of_whole(data, self.event) if before is WHOLE and self.generated and upstream.framed else -1
        if tokens < 0:
            text = before + data
            if not self.generated and self.event is EVENT:
                self.event = token_event(text)
            tokens, usage = tokens_in(before, text, self.event)
            self.usage = later_usage(self.usage, usage)
            self.tail = tail_of(text)
            self.passes_whole = self.tail is WHOLE and self.generated + tokens > 0 and self.framing is CHUNKED
            if not upstream.framed and DONE.search(text):
                self.done = True
        self._generated(tokens, now_s)

    def _generated(self, tokens: int, now_s: float) -> None:
        """So many more tokens; -1 when an event whose beginning came before turns out to hold none."""
        if not tokens:
            return
        worker = self.worker
        if self.generated and worker is not None and tokens > 0:
            if worker.metronome is self:
                worker.note_step((now_s - self.last_s) / tokens)
            elif worker.metronome is None:
                worker.metronome = self
        elif not self.generated:
            self.first_s = now_s
        self.generated += tokens
        if self.row >= 0:
            self.router.flights.generated[self.row] = self.generated

    def _ends_whole(self, upstream: Upstream) -> bool:
        """Is this the answer's end, and not that of a worker that died: a stream without framing has to say so."""
        return upstream.framed or not (self.event_stream and self.counts) or self.done

    def _complete(self, now_s: float) -> None:
        upstream = self.upstream
        assert upstream is not None
        ends_whole = self._ends_whole(upstream)
        keep_alive = self.keeps_alive
        if self.client.paused:
            self.resume()
        upstream.release()
        self.upstream = None
        if self.plain and self.plain_bytes <= LARGEST_WITH_USAGE:
            self.usage = usage_of_whole(b"".join(self.plain))
        self.router.ended(self, now_s, "finished" if ends_whole else "truncated")
        if ends_whole:
            self.client.answered(keep_alive=keep_alive)
        else:
            self.client.abort()

    # from the client

    def client_gone(self) -> None:
        """The client left: so does the worker's request."""
        self._drop_upstream()
        self.router.ended(self, self.router.clock(), "client_abort")

    def pause(self) -> None:
        """The client reads slowly."""
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.pause_reading()

    def resume(self) -> None:
        """The client has caught up."""
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.resume_reading()
            self.last_s = self.router.clock()  # the silence was the client's

    def leave_worker(self, *, keep_load: bool = False) -> int:
        """No longer at its worker: its connection is closed, its load off (keep_load: kept, in the row returned)."""
        worker, self.worker = self.worker, None
        self._drop_upstream()
        if worker is not None:
            worker.in_flight -= 1
            if worker.metronome is self:
                worker.metronome = None
        row, self.row = self.row, -1
        if row >= 0 and not keep_load:
            self.router.flights.free(row)
        return row

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()
