"""A client's connection: parses requests within limits, answers them one after another."""

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from shadowprice.router.head import OF_REQUEST, Fields, Lines, error_response, field_line, without
from shadowprice.router.request import Request, framing_again, origin_form

if TYPE_CHECKING:
    from shadowprice.router.router import Router

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PREFLIGHT = b"access-control-request-method"  # a browser's question before another one: it never carries a key (Fetch)
MOST_PIPELINED = 16
SMALL_PIECE = 1024  # bytes: smaller pieces of a body are put together at once, an object for each would outweigh them
LINGER_S = 2.0  # for what a refused client still sends: closed earlier, it would be reset and lose the answer
REFUSALS = {401: "unauthorized", 408: "too_slow", 413: "too_large", 431: "too_large", 503: "bodies_full"}
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class Client(asyncio.Protocol):
    """One connection. A request is handed to the router when it is whole; the next one waits for its answer."""

    def __init__(self, router: "Router") -> None:
        self.router = router
        self.settings = router.settings
        self.transport: Any = None
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[Request] = deque()
        self.exchange: Any = None  # answers the request before those waiting
        self.closing = False
        self.deaf = False  # what comes now is no request: the last one has come
        self.paused = False
        self.held_bytes = self.answering_bytes = 0  # of the router's: all of this client's, and the current request's
        self._new_request()

    def _new_request(self) -> None:
        self.target = b""
        self.lines: Lines = []
        self.fields: Fields = {}
        self.connection = self.length = b""
        self.version = ""
        self.overhead_bytes = self.head_bytes = self.body_bytes = 0  # overhead: in a row, without any of a body
        self.body: list[bytes | bytearray] = []
        self.has_body = self.head_complete = self.expects_continue = False
        self.hosts = 0
        self.refusal: tuple[int, str] | None = None
        self.begun_s = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.since_s = self.router.clock()
        self.router.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        now_s = self.router.clock()
        self.begun_s = self.begun_s or now_s
        self.overhead_bytes += len(data)
        self._feed(data)
        if self.target:  # of a request that is not whole yet
            self.begun_s = self.begun_s or now_s
        if self.overhead_bytes > self.settings.max_header_size:
            self._head_too_large()
        self.deaf = self.deaf or self.refusal is not None
        self.next()
        if (self.refusal is not None or len(self.waiting) >= MOST_PIPELINED) and not self.closing:
            self.transport.pause_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        while data and self.refusal is None:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:  # not taken up: the body follows, or the next request
                before, self.parser = self.parser, httptools.HttpRequestParser(self)
                if self.head_complete and self.refusal is None:
                    keep_alive = before.should_keep_alive()
                    self.parser.feed_data(framing_again(before.get_method(), self.version, self.length, keep_alive))
                data = memoryview(data)[int(upgrade.args[0]) :]
            except httptools.HttpParserError as error:
                if not self.deaf:
                    self.refusal = self.refusal or (400, f"the request is not valid HTTP/1.1: {error}")
                return

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = self.deaf = True
        self.waiting.clear()
        self.router.clients.discard(self)
        self.answering_bytes = self.held_bytes
        self.let_go_of_body()
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.paused = True
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        self.paused = False
        if self.exchange is not None:
            self.exchange.resume()

    # httptools

    def on_url(self, url: bytes) -> None:
        if not self.head_complete:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:  # a trailer: read and left out
            return
        self.head_bytes += len(name) + len(value) + 4
        lower = name.lower()
        self.fields[lower] = value
        if lower in OF_REQUEST:
            self._of_this_hop(lower, value)
            return
        self.lines.append(field_line(name, value))
        if lower == b"host":
            self.hosts += 1

    def _of_this_hop(self, lower: bytes, value: bytes) -> None:
        if lower == b"connection":
            self.connection = self.connection + b"," + value if self.connection else value
        elif lower == b"content-length":
            self.has_body, self.length = True, value
            if int(value) > self.settings.max_payload_size:
                self._too_large()
        elif lower == b"transfer-encoding":
            self.has_body = True
            if value.lower() != b"chunked":
                self.refusal = self.refusal or (501, f"Transfer-Encoding {value!r}: only chunked is understood")
            elif self.parser.get_http_version() == "1.0":
                self.refusal = self.refusal or (400, "Transfer-Encoding in an HTTP/1.0 request")
        elif lower == b"expect":
            self.expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        if self.head_complete:
            return
        self.head_complete = True
        most = self.settings.max_header_size
        if len(self.target) + self.head_bytes > most:
            self._head_too_large()
        self.overhead_bytes = 0
        self.version = version = self.parser.get_http_version()
        if version != "1.1":
            self._older_or_newer(version)
        elif self.hosts != 1:
            self.refusal = self.refusal or (400, f"{self.hosts} Host headers; expected one")
        method = self.parser.get_method()
        if method in (b"CONNECT", b"TRACE"):  # a tunnel; an echo of headers that are not the client's to see
            self.refusal = self.refusal or (501, f"the method {method.decode()} is not supported")
        elif not self.target.startswith(b"/"):
            self._target_is_no_path(method)
        if not (method == b"OPTIONS" and not self.has_body and PREFLIGHT in self.fields):
            self.refusal = self.refusal or self.router.unauthorized(self.fields, self.target)

    def _target_is_no_path(self, method: bytes) -> None:
        changed = origin_form(method, self.target)
        if changed is None:
            self.refusal = self.refusal or (400, "the request target is neither a path nor a URL")
            return
        self.target, host = changed
        if host is not None:
            self.fields[b"host"] = host
            self.lines = [field_line(b"Host", host), *without((b"host",), self.lines)]

    def _older_or_newer(self, version: str) -> None:
        self.expects_continue = False
        if version != "1.0":
            self.refusal = self.refusal or (505, f"HTTP/{version}; expected HTTP/1.1 or HTTP/1.0")
        elif self.hosts > 1:
            self.refusal = self.refusal or (400, f"{self.hosts} Host headers; expected at most one")

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.overhead_bytes = 0
        if self.body_bytes > self.settings.max_payload_size:
            self._too_large()
        elif self.router.held_bytes + len(body) > self.router.most_held_bytes:
            self.refusal = self.refusal or (503, "the router holds as many bodies as it may (--max-buffered-size)")
        elif self.refusal is None:
            self.held_bytes += len(body)
            self.router.held_bytes += len(body)
            if len(body) < SMALL_PIECE and self.body:
                if type(self.body[-1]) is not bytearray:
                    self.body.append(bytearray())
                self.body[-1] += body
            else:
                self.body.append(body)

    def on_message_complete(self) -> None:
        if self.refusal is not None or self.deaf:
            return
        if self.connection and self.has_body and self.parser.should_upgrade():
            return  # the parser takes no body for its own where an upgrade is offered
        keep_alive = self.parser.should_keep_alive()
        self.deaf = not keep_alive
        self.waiting.append(
            Request(
                self.parser.get_method(),
                self.target,
                self.target.partition(b"?")[0].decode("latin-1"),
                self.lines,
                self.fields,
                self.connection,
                b"".join(self.body) if self.has_body else None,
                keep_alive,
                self.version != "1.0",
                self.begun_s,
            )
        )
        self._new_request()

    def _head_too_large(self) -> None:
        most = self.settings.max_header_size
        self.refusal = self.refusal or (431, f"the request's head, or what comes with its body, has over {most} bytes")

    def _too_large(self) -> None:
        self.refusal = self.refusal or (413, f"the body has over {self.settings.max_payload_size} bytes")

    def let_go_of_body(self) -> None:
        """The current request's body is needed no more."""
        if self.answering_bytes:
            self.held_bytes -= self.answering_bytes
            self.router.held_bytes -= self.answering_bytes
            self.answering_bytes = 0

    @property
    def busy(self) -> bool:
        """Is a request coming, waiting or being answered."""
        return not self.closing and bool(self.exchange is not None or self.waiting or self.begun_s)

    # answers

    def next(self) -> None:
        """Take up the next request, if the one before is answered."""
        while self.exchange is None and self.waiting and not self.closing:
            request = self.waiting.popleft()
            if len(self.waiting) == MOST_PIPELINED - 1:
                self.transport.resume_reading()
            self.answering_bytes = len(request.body or b"")
            self.router.handle(self, request)
        if self.exchange is None and not self.waiting and not self.closing:
            self._rest()

    def _rest(self) -> None:
        """All that has come whole is answered; what has not may be refused or encouraged now."""
        self.since_s = self.router.clock()
        if self.refusal is not None:
            self._refuse(*self.refusal)
        elif self.expects_continue and self.head_complete:
            self.expects_continue = False
            self.transport.write(CONTINUE)

    def answered(self, *, keep_alive: bool) -> None:
        """The answer to the current request is written."""
        self.exchange = None
        self.let_go_of_body()
        if keep_alive and not self.router.draining:
            if self.begun_s:  # the next one has begun: its time runs from here
                self.begun_s = self.router.clock()
            if self.waiting:
                self.router.loop.call_soon(self.next)
            else:
                self._rest()
        else:
            self.close()

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""
        self.transport.write(response)
        self.answered(keep_alive=keep_alive)

    def abort(self) -> None:
        """Reset the connection, so that nobody takes a part of an answer for all of it."""
        self.closing = self.deaf = True
        self.exchange = None
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def close(self) -> None:
        """Close when all is written."""
        self.closing = self.deaf = True
        self.since_s = self.router.clock()
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no proper request, and hear no more."""
        self.router.count_refusal(REFUSALS.get(status, "malformed"))
        extra = b"Retry-After: 1\r\n" if status == 503 else b""
        self.transport.write(error_response(status, message, keep_alive=False, extra=extra))
        if self.transport.can_write_eof():
            self.closing = self.deaf = True
            self.transport.write_eof()
            self.transport.resume_reading()
            self.router.loop.call_later(LINGER_S, self.close)
        else:
            self.close()

    def late(self) -> None:
        """Tell a sender that is too slow, or close a connection that nobody uses."""
        if self.closing:  # and does not read what is left for it
            self.abort()
        elif self.begun_s:
            self._refuse(408, "the request did not come in time")
        else:
            self.close()

    def late_at(self, now_s: float) -> bool:
        """Has a request's sending taken too long, or nothing been asked for too long."""
        if self.exchange is not None or (self.waiting and not self.closing):
            return False
        if self.begun_s and not self.closing:
            # a head is to come within header_timeout_s, a body not slower than 1 kB/s after that
            return now_s - self.begun_s > self.settings.header_timeout_s + self.body_bytes / 1024
        return now_s - self.since_s > self.settings.idle_timeout_s
