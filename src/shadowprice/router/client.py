"""A client's connection: parses requests within limits, answers them one after another."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools

from shadowprice.router.head import Headers, error_response

if TYPE_CHECKING:
    from shadowprice.router.router import Router

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MOST_PIPELINED = 16


@dataclass(slots=True)
class Request:
    """A request as it came. path: the target up to '?'. connection: that header's value. body: None where none came."""

    method: bytes
    target: bytes
    path: str
    headers: Headers
    connection: bytes
    body: bytes | None
    keep_alive: bool
    chunks_allowed: bool
    begun_s: float


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
        self.paused = False
        self._new_request()

    def _new_request(self) -> None:
        self.target = b""
        self.headers: Headers = []
        self.connection = b""
        self.head_bytes = self.body_bytes = 0
        self.body: list[bytes] = []
        self.has_body = self.head_complete = False
        self.hosts = 0
        self.refusal: tuple[int, str] | None = None
        self.begun_s = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.since_s = self.router.clock()
        self.router.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        now_s = self.router.clock()
        self.begun_s = self.begun_s or now_s
        if not self.head_complete:
            self.head_bytes += len(data)
        self._feed(data)
        if self.target:  # of a request that is not whole yet
            self.begun_s = self.begun_s or now_s
        if self.refusal is None and not self.head_complete and self.head_bytes > self.settings.max_header_size:
            self.refusal = (431, f"the request's head has over {self.settings.max_header_size} bytes")
        if self.refusal is not None:
            self._refuse(*self.refusal)
        else:
            self.next()
            if len(self.waiting) >= MOST_PIPELINED and not self.closing:
                self.transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # not taken up: what follows is the next request
            self.parser = httptools.HttpRequestParser(self)
            rest = data[int(upgrade.args[0]) :]
            if rest and self.refusal is None:
                self._feed(rest)
        except httptools.HttpParserError as error:
            if self.refusal is None:
                self.refusal = (400, f"the request is not valid HTTP/1.1: {error}")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.waiting.clear()
        self.router.clients.discard(self)
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
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:  # a trailer: read and left out
            return
        self.headers.append((name, value))
        lower = name.lower()
        if lower == b"connection":
            self.connection = self.connection + b"," + value if self.connection else value
        elif lower == b"host":
            self.hosts += 1
        elif lower == b"content-length":
            self.has_body = True
            if int(value) > self.settings.max_payload_size:
                self._too_large()
        elif lower == b"transfer-encoding":
            self.has_body = True
            if value.lower() != b"chunked":
                self.refusal = self.refusal or (501, f"Transfer-Encoding {value!r}: only chunked is understood")
            elif self.parser.get_http_version() == "1.0":
                self.refusal = self.refusal or (400, "Transfer-Encoding in an HTTP/1.0 request")
        elif lower == b"expect" and value.lower() == b"100-continue" and self.refusal is None:
            self.transport.write(CONTINUE)

    def on_headers_complete(self) -> None:
        self.head_complete = True
        total = len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if total > self.settings.max_header_size:
            self.refusal = self.refusal or (431, f"the request's head has over {self.settings.max_header_size} bytes")
        if self.hosts != 1 and (self.hosts > 1 or self.parser.get_http_version() != "1.0"):
            self.refusal = self.refusal or (400, f"{self.hosts} Host headers; expected one")
        if self.parser.get_method() == b"CONNECT" or not self.target.startswith((b"/", b"http://", b"https://", b"*")):
            self.refusal = self.refusal or (400, "the request target is neither a path nor a URL")
        self.refusal = self.refusal or self.router.unauthorized(self.headers, self.target)

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.body_bytes > self.settings.max_payload_size:
            self._too_large()
        elif self.refusal is None:
            self.body.append(body)

    def on_message_complete(self) -> None:
        if self.refusal is not None:
            return
        target = self.target
        if not target.startswith((b"/", b"*")):  # absolute form: the path is what counts (RFC 9112, section 3.2.2)
            after = target.find(b"/", target.find(b"//") + 2)
            target = target[after:] if after > 0 else b"/"
        version = self.parser.get_http_version()
        self.waiting.append(
            Request(
                self.parser.get_method(),
                target,
                target.partition(b"?")[0].decode("latin-1"),
                self.headers,
                self.connection,
                b"".join(self.body) if self.has_body else None,
                self.parser.should_keep_alive(),
                version != "1.0",
                self.begun_s,
            )
        )
        self._new_request()

    def _too_large(self) -> None:
        self.refusal = self.refusal or (413, f"the body has over {self.settings.max_payload_size} bytes")

    # answers

    def next(self) -> None:
        """Take up the next request, if the one before is answered."""
        while self.exchange is None and self.waiting and not self.closing:
            request = self.waiting.popleft()
            if len(self.waiting) == MOST_PIPELINED - 1:
                self.transport.resume_reading()
            self.router.handle(self, request)
        if self.exchange is None and not self.waiting:
            self.since_s = self.router.clock()

    def answered(self, *, keep_alive: bool) -> None:
        """The answer to the current request is written."""
        self.exchange = None
        if keep_alive and not self.router.draining:
            if self.waiting:
                self.router.loop.call_soon(self.next)
            else:
                self.since_s = self.router.clock()
        else:
            self.close()

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""
        self.transport.write(response)
        self.answered(keep_alive=keep_alive)

    def abort(self) -> None:
        """Reset the connection, so that nobody takes a part of an answer for all of it."""
        self.closing = True
        self.exchange = None
        self.transport.abort()

    def close(self) -> None:
        """Close when all is written."""
        self.closing = True
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        if (
            self.exchange is not None or self.waiting
        ):  # answers in their order: the earlier ones cannot be given any more
            self.abort()
            return
        self.router.count_refusal({401: "unauthorized", 413: "too_large", 431: "too_large"}.get(status, "malformed"))
        self.respond(error_response(status, message, keep_alive=False), keep_alive=False)

    def late(self) -> None:
        """Tell a sender that is too slow, or close a connection that nobody uses."""
        if self.begun_s:
            self.router.count_refusal("too_slow")
            self.respond(error_response(408, "the request did not come in time", keep_alive=False), keep_alive=False)
        else:
            self.close()

    def late_at(self, now_s: float) -> bool:
        """Has a request's sending taken too long, or nothing been asked for too long."""
        if self.exchange is not None or self.waiting:
            return False
        if self.begun_s:  # a head is to come within header_timeout_s, a body not slower than 1 kB/s after that
            return now_s - self.begun_s > self.settings.header_timeout_s + self.body_bytes / 1024
        return now_s - self.since_s > self.settings.idle_timeout_s
