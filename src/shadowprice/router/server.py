"""A router with what runs beside it: start, serve, drain, stop."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import count
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from shadowprice.router.admin import metrics
from shadowprice.router.admin.app import admin_app, require_key
from shadowprice.router.admin.state import LiveControl
from shadowprice.router.deadlines import TICK_S, tick
from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.health import watch_endpoint
from shadowprice.router.fleet.in_flight import Flights, block_numbers
from shadowprice.router.fleet.model import learn, shadow_setting
from shadowprice.router.fleet.scrape import watch_metrics
from shadowprice.router.fleet.worker import DRAINING, LiveWorker, ranks_of
from shadowprice.router.fleet.worker_file import WorkerFile
from shadowprice.router.http.client import Client
from shadowprice.router.http.listen import bound, tls
from shadowprice.router.processes.first import Family, followed_of, shared_blocks
from shadowprice.router.processes.further import First, Followed, Member
from shadowprice.router.record.access_log import AccessLog, finished_request
from shadowprice.router.record.recorder import Recorder
from shadowprice.router.record.tracing import Tracer
from shadowprice.router.router import Router
from shadowprice.router.settings import Settings, make_policy
from shadowprice.router.shadow.runner import ShadowRunner
from shadowprice.router.terminal import States

BACKLOG = 4096
Watch = Callable[[Router, aiohttp.ClientSession, str], Coroutine[Any, Any, None]]
LEARN_EVERY = 5  # seconds


class Server:
    """A router with its listening sockets and what runs beside it."""

    def __init__(self, settings: Settings, flights: Flights | None = None, first: First | None = None) -> None:
        """Opens the record and the access log. first: to the first of several processes. Raises RouterError."""
        self.settings = settings
        require_key(settings.prometheus_host, settings.admin_api_key)
        self.loop = asyncio.get_running_loop()
        memory = None
        if flights is None and settings.processes > 1:
            memory = SharedMemory(create=True, size=8 * settings.processes * block_numbers())
            flights = Flights(shared_blocks(memory, settings.processes))
        self.router = Router(settings, self.loop, Flights() if flights is None else flights)
        self.recorder = None if settings.record is None else Recorder(settings.record)
        self.shadow = ShadowRunner() if settings.shadow else None
        endpoint = settings.otlp_traces_endpoint
        self.tracer = None if endpoint is None else Tracer(endpoint)
        self.access_log = None if settings.access_log is None else AccessLog(settings.access_log)
        self.family = None if memory is None else Family(self, memory)
        self.member = None if first is None else Member(self, first)
        for others in (self.family, first):
            if others is not None:
                self.router.dispatcher.turns = others.turns
        self.control = LiveControl(self)
        self.session = aiohttp.ClientSession()
        self.stopping = asyncio.Semaphore(0)  # once: drain and end; twice: end at once
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[tuple[Watch, str]] = set()
        self._states = States()
        self._listener: asyncio.Server | None = None
        self._admin: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises RouterError when an address is taken or a certificate cannot be read."""
        if self.member is not None:
            self.router.dispatcher.policy = make_policy(self.member.first.policy, self.settings)
            for followed in self.member.first.followed:
                self.follow(followed)
        for url in self.settings.worker_urls:
            self.add_worker(url)
        if self.settings.worker_file is not None:
            asked = WorkerFile(Path(self.settings.worker_file), self.control)
            await asked.apply()
            self.run(asked.follow())
        if self.recorder is not None or self.shadow is not None or self.member is not None:
            self.router.when_ended.append(self._account)
            self.router.keeps_prefixes = True
        if self.access_log is not None:
            self.router.when_ended.append(self.access_log.add)
            self.router.when_turned_away.append(self.access_log.add_turned_away)
        if self.tracer is not None:
            self.router.when_ended.append(self.tracer.add)
        self.router.own_answers["/metrics"] = self._metrics
        context = None if self.settings.ssl_certfile is None else tls(self.settings)
        self.router.dispatcher.warm_up()
        shared = self.settings.processes > 1
        if shared and self.member is None:  # a shared port would let any other router in too
            bound("--host", self.settings.host, "--port", self.settings.port).close()
        sock = bound("--host", self.settings.host, "--port", self.settings.port, shared=shared)
        self._listener = await self.loop.create_server(
            lambda: Client(self.router), sock=sock, ssl=context, backlog=BACKLOG
        )
        if self.member is None:
            await self._start_admin()
        if self.family is not None:
            self.family.start()
        self.run(self._tick())
        self.run(self._each_second())
        for file in (self.access_log, self.recorder):
            if file is not None:
                self.run(self._flush_each_second(file.flush))
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        gc.set_threshold(20_000, 10, 20)  # requests make no cycles

    async def _start_admin(self) -> None:
        settings = self.settings
        self._admin = web.AppRunner(admin_app(self.control, admin_key=settings.admin_api_key), access_log=None)
        await self._admin.setup()
        sock = bound("--prometheus-host", settings.prometheus_host, "--prometheus-port", settings.prometheus_port)
        await web.SockSite(self._admin, sock).start()

    @property
    def port(self) -> int:
        """Where requests are taken."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def admin_port(self) -> int:
        """Where the dashboard and the metrics are."""
        assert self._admin is not None
        return int(self._admin.addresses[0][1])

    # workers

    def add_worker(self, url: str) -> list[str]:
        """Route to the worker behind this URL, or to its ranks; their names. Raises RouterError."""
        workers = [self._add(worker) for worker in ranks_of(url, self.settings.intra_node_data_parallel_size)]
        if self.family is not None:
            for worker in workers:
                self.family.tell("follow_worker", followed=followed_of(worker))
        return [worker.name for worker in workers]

    def follow(self, followed: Followed) -> None:
        """Route to a worker of the first process."""
        self._add(LiveWorker(followed.url, followed.rank, followed.ranks), followed.serial)

    def _add(self, worker: LiveWorker, serial: int | None = None) -> LiveWorker:
        worker = self.router.add(worker, serial)
        for watch in (watch_endpoint, watch_metrics):
            watched = (watch, worker.address.url)
            if watched not in self._watched:
                self._watched.add(watched)
                self.run(self._watch(*watched))
        return worker

    async def _watch(self, watch: Watch, endpoint: str) -> None:
        try:
            await watch(self.router, self.session, endpoint)
        finally:
            self._watched.discard((watch, endpoint))

    # by the clock

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._try(partial(tick, self.router, self.router.clock()))

    async def _each_second(self) -> None:
        for seconds in count(1):
            await asyncio.sleep(1.0)
            if self.member is None:
                self._try(self.control.sample)
                self._try(partial(self._states.tell, self.router.workers))
            else:
                await self._attempt(self.member.report())
            if seconds % LEARN_EVERY == 0:
                self._try(partial(learn, self.router))
            if self.shadow is not None:
                self._try(self._tick_shadow)

    async def _flush_each_second(self, flush: Callable[[], object]) -> None:
        """Each file by itself: one that hangs must not keep the others waiting."""
        while True:
            await asyncio.sleep(1.0)
            await self._attempt(self.loop.run_in_executor(None, flush))

    async def _attempt(self, step: Awaitable[object]) -> None:
        try:
            await step
        except Exception as error:
            self._stumbled(error)

    def _try(self, step: Callable[[], object]) -> None:
        """The clock goes on, whatever one step did."""
        try:
            step()
        except Exception as error:
            self._stumbled(error)

    def _stumbled(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "the router's clock stumbled", "exception": error})

    def files(self) -> dict[str, dict[str, Any] | None]:
        """What this process has written to the record and the access log, since start."""
        written = {"record": self.recorder, "access_log": self.access_log}
        return {name: None if file is None else file.to_json() for name, file in written.items()}

    def _tick_shadow(self) -> None:
        assert self.shadow is not None
        self.shadow.tick(shadow_setting(self.router), self.router.clock())

    def _account(self, exchange: Exchange, now_s: float, how: str) -> None:
        if not exchange.counts:
            return
        row = finished_request(exchange, now_s, how, self.router.block_tokens)
        if self.recorder is not None:
            self.recorder.add(row)
        if self.shadow is not None:
            self.shadow.add(row)
        if self.member is not None:
            self.member.finished.append(row)

    def _metrics(self) -> tuple[int, bytes, bytes]:
        if self.settings.processes > 1:
            return 404, b"text/plain", b"the metrics of all processes are on the dashboard's port (--prometheus-port)\n"
        return 200, metrics.CONTENT_TYPE.encode(), metrics.exposition(self.control.snapshot())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside the requests; if it fails, the event loop's handler says so."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            about = {"message": "background work of the router failed", "exception": task.exception(), "task": task}
            self.loop.call_exception_handler(about)

    # the end

    async def drain(self) -> None:
        """Take nothing new; wait for what runs, at most drain_timeout_s."""
        self.router.draining = True
        for worker in self.router.workers:
            worker.reason = "the router is shutting down" if worker.state == DRAINING else worker.reason
        if self._listener is not None:
            self._listener.close()
        for client in list(self.router.clients):
            if not client.busy:
                client.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await asyncio.gather(self._idle(), *([] if self.family is None else [self.family.drain()]))

    async def _idle(self) -> None:
        while any(client.busy for client in self.router.clients):
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Close everything; the files last, and whatever failed before."""
        try:
            await self._stop_serving()
        finally:
            if self.recorder is not None:
                self.recorder.close()
            if self.access_log is not None:  # after the record: it may hang, at a pipe that nobody reads
                self.access_log.close()

    async def _stop_serving(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        for client in list(self.router.clients):
            client.abort()
        for worker in self.router.workers:
            worker.drop_idle()
        if self._admin is not None:
            await self._admin.cleanup()
        if self.family is not None:
            await self.family.stop()
        await self.session.close()
        if self.shadow is not None:
            self.shadow.close()
        if self.tracer is not None:
            await self.loop.run_in_executor(None, self.tracer.close)
