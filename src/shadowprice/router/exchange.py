"""One request's way to a worker and back: attempts, tokens counted, the answer framed anew for the client."""

from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.http.answer_head import CHUNKED, EVENTS, AnswerHead, chunked
from shadowprice.router.http.client_side import ClientSide
from shadowprice.router.http.request import REPLACED, Request
from shadowprice.router.http.upstream import Upstream
from shadowprice.router.openai.body import usage_of_whole
from shadowprice.router.openai.load import NONE, Load
from shadowprice.router.openai.reading import LARGEST_WITH_USAGE, Reading
from shadowprice.router.surroundings import Surroundings

STALE_S = 1.0  # an idle connection that turns out to be closed does so at once; later, the worker broke it
RETRIED = frozenset((500, 502, 503, 504, 429))  # another worker may do better


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
        "usage",
        "was_stale",
        "worker",
    )

    def __init__(self, around: "Surroundings[Exchange]", client: ClientSide, request: Request, now_s: float) -> None:
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
        self.usage: tuple[int, int] | None = None

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
        return self.request.head.keep_alive and (self.framing is CHUNKED or not self.framing)

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
        if worker.pool.idle:
            self.connected(worker.pool.idle.pop())
        else:
            self.around.connect(self)

    def connected(self, upstream: Upstream) -> None:
        """A connection for this exchange."""
        self.upstream, worker, request = upstream, self.worker, self.request
        assert worker is not None
        head, body = request.head, request.body
        keys = self.around.worker_authorization
        extra = worker.rank_line + keys
        replaced = REPLACED[bool(keys), worker.rank is not None]
        if b"host" not in head.fields:  # HTTP/1.0 may go without one, what is sent on may not
            extra += b"Host: %b\r\n" % worker.address.authority.encode()
        length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
        text = b"%b%b%b\r\n" % (head.going_on(worker.path, replaced), length, extra)
        upstream.send(text, body or b"", self, only_head=head.method == b"HEAD")

    # from the worker

    def on_whole(self, data: bytes, body_at: int, head: AnswerHead) -> bool:
        """The whole answer is there: what most plain ones are, and nothing has to be kept of them for later."""
        client, worker, request = self.client, self.worker, self.request.head
        if head.status in RETRIED or client.paused or self.around.draining or worker is None:
            return False
        if not (request.keep_alive and request.chunks_allowed):
            return False
        now_s = worker.last_sign_s = self.around.clock()
        if self.load.ask.stream and self.sent_s > worker.newest_begun_s:
            worker.newest_begun_s = self.sent_s
        self.status, self.first_s, self.last_s, self.head_sent = head.status, now_s, now_s, True
        body = data[body_at:]
        if self.counts and len(body) <= LARGEST_WITH_USAGE:
            self.usage = usage_of_whole(body)
        before, after = head.going_on()
        self.around.outbox.write(client.transport, b"%b%d%b%b" % (before, len(body), after, body))
        self._release()
        self.around.ended(self, now_s, "finished")
        client.answered(keep_alive=True)
        return True

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
            if upstream.head.status in RETRIED and self.around.retries(self, upstream.head.status, now_s):
                return
            if self.client.paused and not complete:  # by the answer before
                self.pause()
            head = self._head(upstream, now_s)
            if self.load.ask.stream and self.sent_s > worker.newest_begun_s:
                worker.newest_begun_s = self.sent_s
        data = body[0] if len(body) == 1 else b"".join(body)
        if data and self.reading is not None:
            self._count(self.reading.piece(data, self.generated), now_s)
        if self.framing is CHUNKED:  # all that came in one read goes out in one write
            data = chunked(data, last=complete and self._ends_whole(upstream))
        if head or data:
            self.around.outbox.write(self.client.transport, head + data)
        self.last_s = now_s
        if complete:
            self._complete(now_s)

    def on_chunk(self, chunk: bytes) -> bool:
        """A whole chunk of the answer: one of whole events passes as it is. A token's way: it has few calls."""
        reading, worker, framed = self.reading, self.worker, self.framing is CHUNKED
        if reading is None or worker is None or not framed or not reading.passes(chunk):
            return False
        now_s = worker.last_sign_s = self.around.clock()
        tokens = chunk.count(reading.event)  # the line of the chunk's size stands before the first
        if tokens:
            self.generated += tokens
            self.around.flights.generated[self.row] = self.generated
            steps = worker.steps
            if steps.metronome is self:
                steps.note((now_s - self.last_s) / tokens)
            elif steps.metronome is None:
                steps.metronome = self
        self.around.outbox.write(self.client.transport, chunk)
        self.last_s = now_s
        return True

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
        head, request = upstream.head, self.request.head
        self.status = head.status
        self.framing = head.framing_for(request, only_head=upstream.only_head)
        if self.counts:
            self.reading = Reading(events=head.content_type.lower().startswith(EVENTS), framed=head.framed)
        return head.text_for(request, self.framing, keep_alive=self.keeps_alive and not self.around.draining)

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
        return upstream.head.framed or reading is None or not reading.events or reading.done

    def _complete(self, now_s: float) -> None:
        upstream = self.upstream
        assert upstream is not None
        ends_whole = self._ends_whole(upstream)
        keep_alive = self.keeps_alive
        if self.client.paused:
            self.resume()
        self._release()
        if self.reading is not None:
            self.reading.end()
        self.around.ended(self, now_s, "finished" if ends_whole else "truncated")
        if ends_whole:
            self.client.answered(keep_alive=keep_alive)
        else:
            self.client.abort()

    def _release(self) -> None:
        """The answer has come: the connection may serve another request."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.release()

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
