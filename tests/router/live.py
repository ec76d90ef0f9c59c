"""A router that really serves, for tests: on uvloop, in this process, with its invariants checked at the end."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import uvloop

from shadowprice.router.server import Server
from shadowprice.router.settings import Settings
from tests.router.scripted_worker import ScriptedWorker

QUICK = {
    "shadow": False,
    "health_check_interval_s": 0.05,
    "metrics_interval_s": 0.1,
    "port": 0,
    "prometheus_port": 0,
    "wait_for_kernels": True,
}
LONG_S = 20.0  # a wait that ends so late has failed
GET = b"GET /v1/x HTTP/1.1\r\nHost: r\r\n\r\n"


OPEN: list["RawClient"] = []  # closed when the test ends


def run(work: Coroutine[Any, Any, None], seconds: float = 6 * LONG_S) -> None:
    """Run a test on uvloop."""

    async def bounded() -> None:
        try:
            async with asyncio.timeout(seconds):
                await work
        finally:
            while OPEN:
                OPEN.pop().leave()

    uvloop.run(bounded())


async def until(holds: Callable[[], object]) -> None:
    """Wait for it to hold."""
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s, "waited in vain"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def routed(*workers: ScriptedWorker, clean: bool = True, **settings: Any) -> AsyncIterator[Server]:
    """A router before these workers. At the end nothing is left of any request, and nothing has raised."""
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: raised.append(about))
    server = Server(Settings(**{**QUICK, "worker_urls": tuple(worker.url for worker in workers), **settings}))
    try:
        await server.start()
        await until(lambda: all(worker.reason != "not yet probed" for worker in server.router.fleet.workers))
        yield server
        if clean:
            await until(lambda: nothing_left(server))
    finally:
        await server.stop()
    assert not raised, raised


def nothing_left(server: Server) -> bool:
    router = server.router
    held = [worker.in_flight for worker in router.fleet.workers]
    idle = [upstream.listener for worker in router.fleet.workers for upstream in worker.pool.idle]
    bodies = router.door.bodies.held - sum(
        client.incoming.held_bytes for client in router.door.clients if client.busy or client.closing
    )
    return router.flights.of_this_process == len(router.flights.penalties) and not (
        bodies or router.in_flight or router.active or router.dispatcher.waiting or any(held) or any(idle)
    )


@dataclass
class Response:
    """What came back. whole: it ended as its framing says."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    interim: list[int] = field(default_factory=list)
    whole: bool = False

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class RawClient:
    """A client's connection: sends any bytes, reads responses with h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._rest = b""
        OPEN.append(self)

    @classmethod
    async def to(cls, server: Server, *, receive_buffer: int | None = None) -> "RawClient":
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        except OSError:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock))

    def hurry(self) -> None:
        """Take more at a time from now on."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self, method: bytes = b"GET") -> Response:
        """The next response; as far as it came if the connection breaks."""
        parser, response = h11.Connection(h11.CLIENT), Response()
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "r")]))
        parser.send(h11.EndOfMessage())
        if self._rest:
            parser.receive_data(self._rest)
        async with asyncio.timeout(LONG_S):
            while True:
                try:
                    event = parser.next_event()
                except h11.RemoteProtocolError:
                    assert self.reader.at_eof()  # cut short; else it is no HTTP
                    return response
                if event is h11.NEED_DATA:
                    try:
                        parser.receive_data(await self.reader.read(65536))
                    except ConnectionError:
                        return response
                elif isinstance(event, h11.InformationalResponse):
                    response.interim.append(event.status_code)
                elif isinstance(event, h11.Response):
                    response.status, response.headers = event.status_code, list(event.headers)
                elif isinstance(event, h11.Data):
                    response.body += event.data
                else:
                    response.whole = isinstance(event, h11.EndOfMessage)
                    self._rest = parser.trailing_data[0]
                    return response

    async def ended(self) -> bytes:
        """What still comes until the router closes; raises ConnectionError when it resets."""
        async with asyncio.timeout(LONG_S):
            return self._rest + await self.reader.read(-1)

    def leave(self) -> None:
        self.writer.transport.abort()


async def ask(server: Server, request: bytes) -> Response:
    """One request on a connection of its own."""
    client = await RawClient.to(server)
    try:
        await client.send(request)
        return await client.response(request.partition(b" ")[0])
    finally:
        client.leave()


def post(body: bytes, path: bytes = b"/v1/completions", fields: bytes = b"") -> bytes:
    """A POST request."""
    return b"POST %b HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), fields, body)


def streamed(prompt: str = "hello", fields: bytes = b"") -> bytes:
    """A request for an event stream."""
    return post(b'{"prompt":"%b","stream":true}' % prompt.encode(), fields=fields)
