"""A client's connection: hands over its requests one after another, and writes the answers."""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from shadowprice.router.http.head import error_response
from shadowprice.router.http.incoming import Incoming

if TYPE_CHECKING:
    from shadowprice.router.router import Router

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MOST_PIPELINED = 16
LINGER_S = 2.0  # for what a refused client still sends: closed earlier, it would be reset and lose the answer
REFUSALS = {401: "unauthorized", 408: "too_slow", 413: "too_large", 431: "too_large", 503: "bodies_full"}
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class Client(asyncio.Protocol):
    """One connection. A request is handed to the router when it is whole; the next one waits for its answer."""

    def __init__(self, router: "Router") -> None:
        self.router = router
        self.settings = router.settings
        self.transport: Any = None
        self.address = ""  # an IP address
        self.incoming = Incoming(router)
        self.exchange: Any = None  # answers the request before those waiting
        self.closing = False
        self.paused = False
        self.answering_bytes = 0  # of the current request's body, while it is held

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.since_s = self.router.clock()
        self.router.clients.add(self)

    def data_received(self, data: bytes) -> None:
        incoming = self.incoming
        if incoming.deaf:
            return
        incoming.feed(data)
        self.next()
        if (incoming.refusal is not None or len(incoming.whole) >= MOST_PIPELINED) and not self.closing:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = self.incoming.deaf = True
        self.incoming.whole.clear()
        self.router.clients.discard(self)
        self.answering_bytes = self.incoming.held_bytes
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

    def let_go_of_body(self) -> None:
        """The current request's body is needed no more."""
        if self.answering_bytes:
            self.incoming.held_bytes -= self.answering_bytes
            self.router.held_bytes -= self.answering_bytes
            self.answering_bytes = 0

    @property
    def busy(self) -> bool:
        """Is a request coming, waiting or being answered."""
        return not self.closing and bool(self.exchange is not None or self.incoming.whole or self.incoming.begun_s)

    # answers

    def next(self) -> None:
        """Take up the next request, if the one before is answered."""
        whole = self.incoming.whole
        while self.exchange is None and whole and not self.closing:
            request = whole.popleft()
            if len(whole) == MOST_PIPELINED - 1:
                self.transport.resume_reading()
            self.answering_bytes = len(request.body or b"")
            self.router.handle(self, request)
        if self.exchange is None and not whole and not self.closing:
            self._rest()

    def _rest(self) -> None:
        """All that has come whole is answered; what has not may be refused or encouraged now."""
        self.since_s = self.router.clock()
        incoming = self.incoming
        if incoming.refusal is not None:
            self._refuse(*incoming.refusal)
        elif incoming.expects_continue and incoming.head_complete:
            incoming.expects_continue = False
            self._write(CONTINUE)

    def answered(self, *, keep_alive: bool) -> None:
        """The answer to the current request is written."""
        self.exchange = None
        self.let_go_of_body()
        if keep_alive and not self.router.draining:
            if self.incoming.begun_s:  # the next one has begun: its time runs from here
                self.incoming.begun_s = self.router.clock()
            if self.incoming.whole:
                self.router.loop.call_soon(self.next)
            else:
                self._rest()
        else:
            self.close()

    def _write(self, data: bytes) -> None:
        self.router.outbox.flush()
        self.transport.write(data)

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""
        self._write(response)
        self.answered(keep_alive=keep_alive)

    def abort(self) -> None:
        """Reset the connection, so that nobody takes a part of an answer for all of it."""
        self.router.outbox.flush()
        self.closing = self.incoming.deaf = True
        self.exchange = None
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def close(self) -> None:
        """Close when all is written."""
        self.closing = self.incoming.deaf = True
        self.since_s = self.router.clock()
        self.router.outbox.flush()
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no proper request, and hear no more."""
        self.router.turned_away(self, status, REFUSALS.get(status, "malformed"))
        extra = b"Retry-After: 1\r\n" if status == 503 else b""
        self._write(error_response(status, message, keep_alive=False, extra=extra))
        if self.transport.can_write_eof():
            self.closing = self.incoming.deaf = True
            self.transport.write_eof()
            self.transport.resume_reading()
            self.router.loop.call_later(LINGER_S, self.close)
        else:
            self.close()

    def late(self) -> None:
        """Tell a sender that is too slow, or close a connection that nobody uses."""
        if self.closing:  # and does not read what is left for it
            self.abort()
        elif self.incoming.begun_s:
            self._refuse(408, "the request did not come in time")
        else:
            self.close()

    def late_at(self, now_s: float) -> bool:
        """Has a request's sending taken too long, or nothing been asked for too long."""
        if self.exchange is not None or (self.incoming.whole and not self.closing):
            return False
        if self.incoming.begun_s and not self.closing:
            return now_s > self.incoming.due_s
        return now_s - self.since_s > self.settings.idle_timeout_s
