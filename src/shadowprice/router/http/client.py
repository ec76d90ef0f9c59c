"""A client's connection: hands over its requests one after another, and writes the answers."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from shadowprice.router.http.head import error_response
from shadowprice.router.http.held_bodies import HeldBodies
from shadowprice.router.http.incoming import Incoming
from shadowprice.router.http.keys import Keys
from shadowprice.router.http.outbox import Outbox
from shadowprice.router.http.request import Request
from shadowprice.router.settings import Settings

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MOST_PIPELINED = 16
LINGER_S = 2.0  # for what a refused client still sends: closed earlier, it would be reset and lose the answer
REFUSALS = {401: "unauthorized", 408: "too_slow", 413: "too_large", 431: "too_large", 503: "bodies_full"}
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class Answering(Protocol):
    """What answers a client's current request, as its connection knows it."""

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""

    def pause(self) -> None:
        """Hold the answer back: the client reads slowly."""

    def resume(self) -> None:
        """Go on with it."""


@dataclass
class Door:
    """What all connections of clients have in common.

    handle: takes up a whole request, and sets the client's `exchange` unless it answers at once. turned_away: hears of
    what was refused before it was a request: status, and why.
    """

    settings: Settings
    keys: Keys
    bodies: HeldBodies
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    outbox: Outbox
    handle: Callable[["Client", Request], None]
    turned_away: Callable[["Client", int, str], None]
    clients: set["Client"] = field(default_factory=set)
    closing: bool = False  # no further request is taken


class Client(asyncio.Protocol):
    """One connection. A request is handed on when it is whole; the next one waits for its answer."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.transport: Any = None
        self.address = ""  # an IP address
        self.incoming = Incoming(door.settings, door.keys, door.bodies, door.clock)
        self.exchange: Answering | None = None  # answers the request before those waiting
        self.closing = False
        self.paused = False
        self.answering_bytes = 0  # of the current request's body, while it is held

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.since_s = self.door.clock()
        self.door.clients.add(self)

    def data_received(self, data: bytes) -> None:
        incoming = self.incoming
        if incoming.deaf:
            return
        if self.exchange is None and not incoming.whole and (request := incoming.as_before(data)) is not None:
            self.answering_bytes = len(request.body or b"")
            self.door.handle(self, request)
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
        self.door.clients.discard(self)
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
            self.incoming.let_go(self.answering_bytes)
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
            self.door.handle(self, request)
        if self.exchange is None and not whole and not self.closing:
            self._rest()

    def _rest(self) -> None:
        """All that has come whole is answered; what has not may be refused or encouraged now."""
        self.since_s = self.door.clock()
        incoming = self.incoming
        if incoming.refusal is not None:
            self._refuse(*incoming.refusal)
        elif incoming.expects_continue and incoming.head_complete:
            incoming.expects_continue = False
            self._write(CONTINUE)

    def answered(self, *, keep_alive: bool) -> None:
        """The answer to the current request is written."""
        self.exchange = None
        if self.answering_bytes:
            self.let_go_of_body()
        incoming = self.incoming
        if keep_alive and not self.door.closing:
            if incoming.begun_s:  # the next one has begun: its time runs from here
                incoming.begun_s = self.door.clock()
            if incoming.whole:
                self.door.loop.call_soon(self.next)
            else:
                self._rest()
        else:
            self.close()

    def _write(self, data: bytes) -> None:
        self.door.outbox.flush()
        self.transport.write(data)

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""
        self._write(response)
        self.answered(keep_alive=keep_alive)

    def abort(self) -> None:
        """Reset the connection, so that nobody takes a part of an answer for all of it."""
        self.door.outbox.flush()
        self.closing = self.incoming.deaf = True
        self.exchange = None
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def close(self) -> None:
        """Close when all is written."""
        self.closing = self.incoming.deaf = True
        self.since_s = self.door.clock()
        self.door.outbox.flush()
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no proper request, and hear no more."""
        self.door.turned_away(self, status, REFUSALS.get(status, "malformed"))
        extra = b"Retry-After: 1\r\n" if status == 503 else b""
        self._write(error_response(status, message, keep_alive=False, extra=extra))
        if self.transport.can_write_eof():
            self.closing = self.incoming.deaf = True
            self.transport.write_eof()
            self.transport.resume_reading()
            self.door.loop.call_later(LINGER_S, self.close)
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
        return now_s - self.since_s > self.door.settings.idle_timeout_s
