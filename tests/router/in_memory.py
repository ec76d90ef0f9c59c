"""The router's real protocol classes between transports in memory, for fuzzing: no socket, no clock, one worker."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import h11
import uvloop

from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.worker import UP, LiveWorker
from shadowprice.router.http.client import Client
from shadowprice.router.http.outbox import FEW
from shadowprice.router.http.upstream import Upstream
from shadowprice.router.router import Router
from shadowprice.router.settings import Settings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGEST = 1 << 20  # bytes of a head that h11 accepts here
Fields = list[tuple[bytes, bytes]]
Asked = tuple[bytes, bytes, bytes]  # method, target, body


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; tells its protocol of the end in the next turn of the loop, as real ones do."""

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.protocol, self.loop = protocol, loop
        self.written = bytearray()
        self.ended = self.reset = self.closing = False

    def write(self, data: Any) -> None:
        assert not self.ended
        if not self.closing:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.reset = self.reset or not self.closing
        self.close()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Bench:
    """A router with one worker.

    reply: what it answers to its next request, then OK again; cuts: where the reads of it end. few: see `Outbox`.
    """

    def __init__(self, *, few: int = FEW, **settings: Any) -> None:
        self.loop = uvloop.new_event_loop()
        self.raised: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, about: self.raised.append(about))
        self.router = Router(Settings(shadow=False, **settings), self.loop, Flights())
        self.router.outbox.few = few
        worker = LiveWorker("http://127.0.0.1:9", None, 1)
        worker.state = UP
        self.router.fleet.add(worker)
        self.router.connect = self.connect  # type: ignore[method-assign]
        self.ends: list[MemoryTransport] = []
        self.asked: list[Asked] = []
        self.headers: Fields = []
        self.reply = OK
        self.cuts: Sequence[int] = range(7, LARGEST, 7)

    def connect(self, exchange: Exchange) -> None:
        assert exchange.worker is not None
        upstream = Upstream(exchange.worker.pool, self.router.outbox)
        transport = MemoryTransport(upstream, self.loop)
        upstream.connection_made(transport)
        self.ends.append(transport)
        exchange.connected(upstream)

    def client(self) -> tuple[Client, MemoryTransport]:
        client = Client(self.router.door)
        transport = MemoryTransport(client, self.loop)
        client.connection_made(transport)
        return client, transport

    def turn(self) -> None:
        """Let the loop and the worker do what there is to do."""
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))
        for end in list(self.ends):
            if end.written:
                found, problem = requests_in(bytes(end.written))
                assert problem is None and len(found) == 1, (problem, bytes(end.written))
                end.written.clear()
                self.asked.append(found[0][0])
                self.headers += found[0][1]
                reply, self.reply = self.reply, OK
                inside = [at for at in self.cuts if at < len(reply)]
                for start, stop in pairwise([0, *inside, len(reply)]):
                    if not end.closing:
                        end.protocol.data_received(reply[start:stop])
                if reply is not OK:
                    end.close()
            if end.closing:
                self.ends.remove(end)

    def settle(self, client: Client) -> None:
        """Until nothing is owed to the client any more."""
        for _ in range(400):
            self.turn()
            if client.exchange is None and (client.closing or not client.incoming.whole):
                break
        else:
            raise AssertionError("the client waits for ever")
        self.turn()
        assert not self.raised, self.raised
        worker = self.router.fleet.workers[0]
        worker.state, worker.failures, worker.busy_until_s = UP, 0, 0.0
        while self.router.flights.penalties:
            self.router.flights.free(self.router.flights.penalties.popleft()[1])
        assert not self.router.flights.of_this_process and not self.router.active and worker.in_flight == 0
        assert self.router.door.bodies.held == sum(one.incoming.held_bytes for one in self.router.door.clients)
        assert all(one.incoming.held_bytes == 0 for one in self.router.door.clients if not (one.busy or one.closing))


def requests_in(data: bytes) -> tuple[list[tuple[Asked, Fields]], str | None]:
    """The whole requests in these bytes as h11 reads them, and why it read no further."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
    parser.receive_data(data)
    found: list[tuple[Asked, Fields]] = []
    method, target, body, headers = b"", b"", b"", []
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError as error:
            return found, str(error)
        if isinstance(event, h11.Request):
            method, target, body, headers = event.method, event.target, b"", list(event.headers)
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append(((method, target, body), headers))
            parser.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
            parser.send(h11.EndOfMessage())
            if parser.our_state is not h11.DONE:
                return found, None
            if parser.their_state is h11.DONE:
                parser.start_next_cycle()
        else:
            more = parser.trailing_data[0] and event is not h11.NEED_DATA
            return found, "what follows is no request" if more else None


def responses_in(data: bytes, methods: list[bytes], *, closed: bool) -> list[tuple[int, Fields, bytes]]:
    """The whole responses in these bytes as h11 reads them; raises h11.RemoteProtocolError where they are none."""
    found = []
    for method in methods:
        if not data:
            break
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "r")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(data)
        if closed:
            parser.receive_data(b"")
        status, headers, body = 0, [], b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status, headers = event.status_code, list(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, h11.InformationalResponse):
                return found
        found.append((status, headers, body))
        data = parser.trailing_data[0]
    if data:
        raise h11.RemoteProtocolError(f"nobody asked for {data!r}")
    return found
