"""A connection to a worker: writes requests, parses responses, hands both ends to the exchange it serves."""

import asyncio
from typing import Protocol, cast

import httptools

from shadowprice.router.http.answer_head import BODILESS, EVENTS, AnswerHead
from shadowprice.router.http.head import HOP_BY_HOP, field_line
from shadowprice.router.http.known import Known, learned
from shadowprice.router.http.outbox import Outbox

ONE_WRITE = 65536  # bytes of a body that are rather copied than written by themselves
MOST_OVERHEAD = 1 << 18  # bytes of a head, or of trailers and chunk extensions in a row
SIZES = {form % size: size for size in range(1, 4096) for form in (b"%x", b"%X")}  # of chunks, as they are written


class Pool:
    """Connections to one worker. idle: those that wait for a request. known: the head of the last whole answer."""

    __slots__ = ("idle", "known")

    def __init__(self) -> None:
        self.idle: list[Upstream] = []
        self.known: Known[AnswerHead] | None = None


class Listener(Protocol):
    """Whom a connection tells of the response to its request."""

    def on_whole(self, data: bytes, body_at: int, head: AnswerHead) -> bool:
        """The response came at once, its body at `body_at`; False: it is to be read like any other."""
        ...

    def on_response(self, body: list[bytes], *, complete: bool) -> None:
        """More of the response is there; its head stands in the connection."""

    def on_chunk(self, chunk: bytes) -> bool:
        """More is there, a whole chunk in its framing; False: it is to be read like any other."""
        ...

    def on_lost(self, reason: str) -> None:
        """The response will not be completed."""


class Upstream(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self.pool = pool
        self.outbox = outbox
        self.listener: Listener | None = None
        self.transport: asyncio.Transport | None = None
        self.used = self.reusable = False
        self.unsent = False  # the request still waits in the outbox
        self.parser = httptools.HttpResponseParser(self)
        self._new_response()

    def _new_response(self) -> None:
        self.head = AnswerHead()
        self.overhead_bytes = 0
        self.head_complete = self.complete = self.keep_alive = False
        self.only_head = False  # asked for with HEAD
        self.received = False
        self.between_chunks = False  # the parser waits for a chunk to begin
        self.body: list[bytes] = []

    def send(self, head: bytes, body: bytes, listener: Listener, *, only_head: bool) -> None:
        """Send a request; the listener hears of the response. only_head: it is a HEAD request."""
        self.listener = listener
        if self.only_head:  # the parser still waits for the body that the head announced
            self.parser = httptools.HttpResponseParser(self)
        if self.complete or self.received:
            self._new_response()
        self.only_head = only_head
        self.unsent = True
        self.outbox.write(self, head + body if len(body) <= ONE_WRITE else head)
        if len(body) > ONE_WRITE:
            self.outbox.write(self, body)

    def write(self, data: bytes) -> None:
        """For the outbox."""
        assert self.transport is not None
        self.unsent = False
        self.transport.write(data)

    def is_closing(self) -> bool:
        """For the outbox."""
        return self.transport is None or self.transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.listener is None:  # nobody asked: not a worker's answer
            self._forget()
            self.close()
            return
        if self.unsent:
            self._lose("the worker answered before it was asked")
            return
        # as most tokens come: the parser stays where it is
        if self.between_chunks and whole_chunk(data) and self.listener.on_chunk(data):
            return
        pool = self.pool
        if not self.received and pool.known is not None and not self.only_head and (at := pool.known.body_at(data)):
            listener, self.listener, self.reusable = self.listener, None, True
            if listener.on_whole(data, at, pool.known.head):
                self.used = True
                return
            self.listener = listener
        first, self.received = not self.received, True
        self.overhead_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._lose("the worker switched protocols")
            return
        except httptools.HttpParserError as error:
            if not self.complete:
                if self.head_complete and self.body:  # what came before it is as good as if it had come alone
                    self.listener.on_response(self.body, complete=False)
                self._lose(f"the worker's answer is not HTTP: {error.__context__ or error}")
                return
            self.keep_alive = False  # what follows the answer is none
        if self.overhead_bytes > MOST_OVERHEAD and not self.complete:
            self._lose(f"the worker's answer has over {MOST_OVERHEAD} bytes of head or trailers")
            return
        if not self.head_complete:
            return
        self.between_chunks &= data.endswith(b"\r\n")  # else the next one's size has begun
        listener, body = self.listener, self.body
        if self.complete:
            self.listener = None
            self.between_chunks = False
            self.used = True
            self.reusable = self.head.framed and self.keep_alive
            self.body = []
            if first and self.reusable and self.head.has_length and not self.only_head:
                self._learn(data, body)
            listener.on_response(body, complete=True)
        elif body:
            self.body = []
            listener.on_response(body, complete=False)

    def _learn(self, data: bytes, body: list[bytes]) -> None:
        """Remember the head of an answer that came whole, unless there is more to it than to hand it on."""
        head = self.head
        if head.status not in BODILESS and not head.content_type.lower().startswith(EVENTS):
            self.pool.known = learned(data, b"".join(body), head) or self.pool.known

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._forget()
        listener, self.listener = self.listener, None
        if listener is None:
            return
        if self.head_complete and not self.head.framed and exc is None:
            self.complete, self.reusable = True, False
            listener.on_response(self.body, complete=True)
        else:
            listener.on_lost(str(exc) if exc else "the worker closed the connection")

    def pause_writing(self) -> None:
        """Requests are sent whole: there is nothing to hold back."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    # httptools

    def on_message_begin(self) -> None:
        if self.complete:  # more than was asked for: not to be trusted with another request
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_complete:  # trailers stay here
            lower = name.lower()
            if lower not in HOP_BY_HOP:
                self.head.lines.append(field_line(name, value))
            if lower == b"content-length":
                self.head.framed = self.head.has_length = True
            elif lower == b"transfer-encoding":
                self.head.framed = True
                if value.lower() != b"chunked":
                    raise ValueError(f"Transfer-Encoding {value!r}; expected chunked")
            elif lower == b"content-type":
                self.head.content_type = value
            elif lower == b"connection":
                self.head.connection = self.head.connection + b"," + value if self.head.connection else value

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        self.head.status = self.parser.get_status_code()
        if self.head.status < 200:  # an interim response: the real one follows
            if self.head.status < 100:  # which could have a body
                raise ValueError(f"status {self.head.status}; expected 100 to 999")
            return
        self.head_complete = True
        self.overhead_bytes = 0
        if self.only_head or self.head.status in BODILESS:
            self.head.framed = self.complete = True
            self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            self.keep_alive = False
        else:
            self.overhead_bytes = 0
            self.body.append(body)

    def on_chunk_header(self) -> None:
        self.between_chunks = False

    def on_chunk_complete(self) -> None:
        self.between_chunks = True

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if self.head.status < 200:
            self.head = AnswerHead()
        else:
            self.complete = True
            self.keep_alive = self.parser.should_keep_alive()

    def release(self) -> None:
        """Back to the worker's idle connections, if it can serve another request."""
        if self.transport is not None and not self.transport.is_closing() and self.reusable:
            self.pool.idle.append(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once; nobody hears of it."""
        self.listener = None
        if self.transport is not None:
            self.transport.abort()

    def _forget(self) -> None:
        """Nobody may take it from the idle ones."""
        if self in self.pool.idle:
            self.pool.idle.remove(self)

    def _lose(self, reason: str) -> None:
        listener, self.listener = self.listener, None
        if self.transport is not None:
            self.transport.abort()
        if listener is not None:
            listener.on_lost(reason)


def whole_chunk(data: bytes) -> int:
    """Where the content begins if the data is one chunk that holds something, with nothing around it; else 0.

    A large one, a size with leading zeros or an extension is the parser's to read.
    """
    at = data.find(b"\r\n", 1, 5)
    return at + 2 if SIZES.get(data[:at]) == len(data) - at - 4 and data.endswith(b"\r\n") else 0
