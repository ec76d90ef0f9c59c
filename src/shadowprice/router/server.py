"""Start, serve, drain, stop: the router as a process."""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Coroutine
from typing import Any

import aiohttp

from shadowprice.errors import RouterError
from shadowprice.router.client import Client
from shadowprice.router.health import watch_endpoint
from shadowprice.router.live_worker import ranks_of
from shadowprice.router.router import Router
from shadowprice.router.scrape import watch_metrics
from shadowprice.router.settings import Settings
from shadowprice.router.watch import TICK_S, tick

BACKLOG = 4096


class Server:
    """A router with its listening socket and what runs beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.router = Router(settings, self.loop)
        self.session = aiohttp.ClientSession()
        self.stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises RouterError when an address is taken or a certificate cannot be read."""
        for url in self.settings.worker_urls:
            self.add_worker(url)
        context = None if self.settings.ssl_certfile is None else _tls(self.settings)
        sock = _bound(self.settings.host, self.settings.port)
        self._listener = await self.loop.create_server(
            lambda: Client(self.router), sock=sock, ssl=context, backlog=BACKLOG
        )
        self._run(self._tick())

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    def add_worker(self, url: str) -> list[str]:
        """Route to the workers behind this URL, too; their names. Raises RouterError."""
        workers = ranks_of(url, self.settings.intra_node_data_parallel_size)
        for worker in workers:
            self.router.add(worker)
        endpoint = workers[0].address.url
        if endpoint not in self._watched:
            self._watched.add(endpoint)
            self._run(self._watch(endpoint))
        return [worker.name for worker in workers]

    async def _watch(self, endpoint: str) -> None:
        try:
            await asyncio.gather(
                watch_endpoint(self.router, self.session, endpoint), watch_metrics(self.router, self.session, endpoint)
            )
        finally:
            self._watched.discard(endpoint)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            tick(self.router, self.router.clock())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.loop.call_exception_handler(
                {"message": "the router's background work failed", "exception": task.exception()}
            )

    async def drain(self) -> None:
        """Take nothing new; wait for what runs, at most drain_timeout_s."""
        self.router.draining = True
        if self._listener is not None:
            self._listener.close()
        for client in list(self.router.clients):
            if client.exchange is None and not client.waiting:
                client.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_timeout_s):
                while any(client.exchange is not None for client in self.router.clients):
                    await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Close everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self.router.clients):
            client.abort()
        for worker in self.router.workers:
            worker.drop_idle()
        await self.session.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise RouterError(f"--host {host} --port {port}: {error.strerror or error}; expected a free address") from error
    sock.setblocking(False)
    return sock


def _tls(settings: Settings) -> ssl.SSLContext:
    assert settings.ssl_certfile is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        files = f"--ssl-certfile {settings.ssl_certfile} --ssl-keyfile {settings.ssl_keyfile}"
        raise RouterError(f"{files}: {error}; expected a certificate and its key, PEM") from error
    return context


async def serve(settings: Settings) -> None:
    """Route until SIGTERM or SIGINT, then drain; a second signal ends it at once."""
    server = Server(settings)
    try:
        await server.start()
        for signum in (signal.SIGTERM, signal.SIGINT):
            server.loop.add_signal_handler(signum, _on_signal, server)
        print(
            f"routing {settings.host}:{server.port} -> {len(server.router.workers)} workers",
            file=sys.stderr,
            flush=True,
        )
        await server.stopping.wait()
        drained = server.loop.create_task(server.drain())
        server.stopping.clear()
        second = server.loop.create_task(server.stopping.wait())
        await asyncio.wait((drained, second), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        second.cancel()
    finally:
        await server.stop()


def _on_signal(server: Server) -> None:
    server.stopping.set()


def run(settings: Settings) -> None:
    """Run the router as this process."""
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(serve(settings))
    else:
        uvloop.run(serve(settings))
