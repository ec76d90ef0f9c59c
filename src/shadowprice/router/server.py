"""A router with what runs beside it: start, serve, drain, stop."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp
from aiohttp import web

from shadowprice.router.admin import metrics
from shadowprice.router.admin.app import admin_app, require_key
from shadowprice.router.admin.state import LiveControl
from shadowprice.router.background import Background
from shadowprice.router.deadlines import TICK_S, tick
from shadowprice.router.decide.change_over import begin_to_decide
from shadowprice.router.decide.first_run import FirstRun
from shadowprice.router.fleet.care import Care
from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.fleet.model import learn
from shadowprice.router.fleet.worker import DRAINING
from shadowprice.router.fleet.worker_file import WorkerFile
from shadowprice.router.http.client import Client
from shadowprice.router.http.listen import bound, tls
from shadowprice.router.http.request import Request
from shadowprice.router.processes.first import FirstProcess, Run, followed_of
from shadowprice.router.processes.further import FurtherProcess
from shadowprice.router.processes.messages import Change, Files, Followed, Joining, Report
from shadowprice.router.record.access_log import AccessLog
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.recorder import Recorder
from shadowprice.router.record.tracing import Tracer
from shadowprice.router.roster import Roster
from shadowprice.router.router import Router
from shadowprice.router.settings import Settings
from shadowprice.router.shadow.runner import ShadowRunner
from shadowprice.router.shadow.setting import shadow_setting
from shadowprice.router.terminal import Greeting, States

BACKLOG = 4096
LEARN_EVERY = 5  # seconds


class Server:
    """A router with its listening sockets and what runs beside it. stopping: once to drain and end, twice at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        further: Run | None = None,
        flights: Flights | None = None,
        joining: Joining | None = None,
    ) -> None:
        """Opens the record and the access log. Raises RouterError.

        further: what each further process does, to the first of several. flights, joining: to one of the further ones.
        """
        self.settings = settings
        require_key(settings.prometheus_host, settings.admin_api_key)
        self.loop = asyncio.get_running_loop()
        self.stopping = asyncio.Semaphore(0)
        self.first: FirstProcess | None = None
        if further is not None and settings.processes > 1:
            self.first = FirstProcess(self.loop, settings.processes, further, self._now, self._take)
            flights = self.first.flights()
        self.router = Router(settings, self.loop, Flights() if flights is None else flights)
        self.recorder = None if settings.record is None else Recorder(settings.record)
        self.shadow = ShadowRunner() if settings.shadow else None
        endpoint = settings.otlp_traces_endpoint
        self.tracer = None if endpoint is None else Tracer(endpoint)
        self.access_log = None if settings.access_log is None else AccessLog(settings.access_log)
        self.background = Background(self.loop)
        self.session = aiohttp.ClientSession()
        self.first_run = FirstRun(settings, compiles=joining is None)
        care = Care(self.router.fleet, settings, self.session, self.background, self.router.worker_is_dead)
        self.roster = Roster(self.router, self.background, care.look_after, self._tell, self.first_run)
        self.further: FurtherProcess | None = None
        if joining is not None:
            self.further = FurtherProcess(self.loop, joining, self.roster.follow, self.stopping.release)
        for lock in (other.lock for other in (self.first, joining) if other is not None):
            self.router.dispatcher.lock = lock
        self.control = LiveControl(self.router, self.roster, self.first_run, self.shadow, self.files, self._reports)
        self._states = States()
        self._listener: asyncio.Server | None = None
        self._admin: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises RouterError when an address is taken or a certificate cannot be read."""
        if self.further is not None:
            joining = self.further.joining
            self.router.dispatcher.use(joining.policy)
            for followed in joining.followed:
                self.roster.follow(followed)
        for url in self.settings.worker_urls:
            await self.roster.add_worker(url)
        if self.settings.worker_file is not None:
            asked = WorkerFile(Path(self.settings.worker_file), self.roster)
            await asked.apply()
            self.background.run(asked.follow())
        self._keep_account()
        self.router.own_answers["/metrics"] = self._metrics
        begin_to_decide(self.router.dispatcher, self.first_run, self.background, tells=self.further is None)
        await self._listen()
        if self.further is None:
            await self._start_admin()
        if self.first is not None:
            self.first.start()
        self.background.run(self._tick())
        self.background.run(self._each_second())
        for file in (self.access_log, self.recorder):
            if file is not None:
                self.background.run(self._flush_each_second(file.flush))
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        gc.set_threshold(20_000, 10, 20)  # requests make no cycles

    def _keep_account(self) -> None:
        """Whoever wants to hear of requests that are over does from now on."""
        rows = [listener.add for listener in (self.recorder, self.shadow, self.further) if listener is not None]
        if rows:
            self.router.keeps_prefixes = True
            self.router.when_ended.append(partial(_those_that_count, rows))
        if self.access_log is not None:
            self.router.when_ended.append(self.access_log.add)
            self.router.when_turned_away.append(self.access_log.add_turned_away)
        if self.tracer is not None:
            self.router.when_ended.append(self.tracer.add)

    async def _listen(self) -> None:
        context = None if self.settings.ssl_certfile is None else tls(self.settings)
        shared = self.settings.processes > 1
        if shared and self.further is None:  # a shared port would let any other router in too
            bound("--host", self.settings.host, "--port", self.settings.port).close()
        sock = bound("--host", self.settings.host, "--port", self.settings.port, shared=shared)
        self._listener = await self.loop.create_server(
            lambda: Client(self.router.door), sock=sock, ssl=context, backlog=BACKLOG
        )

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

    def greeting(self) -> Greeting:
        """What an operator is told."""
        notes = () if self.recorder is None else self.recorder.notes
        workers, dispatcher = len(self.router.fleet.workers), self.router.dispatcher
        decides = dispatcher.decides.name
        return Greeting(self.settings, self.port, self.admin_port, workers, dispatcher.policy.name, decides, notes)

    # other processes

    def _tell(self, change: Change) -> None:
        if self.first is not None:
            self.first.tell(change)

    def _reports(self) -> list[Report]:
        """What the other processes last told."""
        return [] if self.first is None else list(self.first.reports.values())

    def _now(self) -> tuple[Settings, tuple[Followed, ...], str]:
        same = replace(self.settings, worker_urls=(), worker_file=None, port=self.port, shadow=False)
        workers = [worker for worker in self.router.fleet.workers if worker.state != DRAINING]
        return same, tuple(map(followed_of, workers)), self.router.dispatcher.policy.name

    def _take(self, report: Report) -> None:
        self.router.statistics.take(report.statistics, self.router.clock())
        for worker in self.router.fleet.workers:
            more = report.workers.get(worker.serial)
            if more is not None:
                worker.counts.add(more.counts)
                worker.steps.take(more.steps)
        if self.shadow is not None:
            for row in report.finished:
                self.shadow.add(row)

    # by the clock

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.background.step(partial(tick, self.router, self.router.clock()))

    async def _each_second(self) -> None:
        router, step = self.router, self.background.step
        for seconds in count(1):
            await asyncio.sleep(1.0)
            if self.further is None:
                step(self.control.sample)
                step(partial(self._states.tell, router.fleet.workers))
                step(partial(self._states.tell_memory, router.fleet.workers, self.settings.max_kv_tokens))
            else:
                await self.background.attempt(self.report())
            if seconds % LEARN_EVERY == 0:
                step(partial(learn, router.fleet, self.settings))
            if self.shadow is not None and router.flights.compiled:  # it would compile the same, at the same time
                step(self._tick_shadow)

    async def report(self) -> None:
        """Tell the first process what happened here since it was told last."""
        assert self.further is not None
        router = self.router
        queue = router.dispatcher.queue()
        decides = router.dispatcher.decides.name
        await self.further.report(router.fleet, router.statistics, router.in_flight, queue, decides, self.files())

    async def _flush_each_second(self, flush: Callable[[], object]) -> None:
        """Each file by itself: one that hangs must not keep the others waiting."""
        while True:
            await asyncio.sleep(1.0)
            await self.background.attempt(self.loop.run_in_executor(None, flush))

    def files(self) -> Files:
        """What this process has written to the record and the access log, since start."""
        written = {"record": self.recorder, "access_log": self.access_log}
        return {name: None if file is None else file.to_json() for name, file in written.items()}

    def _tick_shadow(self) -> None:
        assert self.shadow is not None
        setting = shadow_setting(self.router.fleet, self.settings, self.router.dispatcher.policy.name)
        self.shadow.tick(setting, self.router.clock())

    def _metrics(self) -> tuple[int, bytes, bytes]:
        if self.settings.processes > 1:
            return 404, b"text/plain", b"the metrics of all processes are on the dashboard's port (--prometheus-port)\n"
        return 200, metrics.CONTENT_TYPE.encode(), metrics.exposition(self.control.snapshot())

    # the end

    async def drain(self) -> None:
        """Take nothing new; wait for what runs, at most drain_timeout_s."""
        self.router.door.closing = True
        for worker in self.router.fleet.workers:
            worker.reason = "the router is shutting down" if worker.state == DRAINING else worker.reason
        if self._listener is not None:
            self._listener.close()
        for client in list(self.router.door.clients):
            if not client.busy:
                client.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await asyncio.gather(self._idle(), *([] if self.first is None else [self.first.drain()]))

    async def _idle(self) -> None:
        while any(client.busy for client in self.router.door.clients):
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
        await self.background.stop()
        if self._listener is not None:
            self._listener.close()
        for client in list(self.router.door.clients):
            client.abort()
        for worker in self.router.fleet.workers:
            worker.drop_idle()
        if self._admin is not None:
            await self._admin.cleanup()
        if self.first is not None:
            await self.first.stop()
        await self.session.close()
        self.first_run.close()
        if self.shadow is not None:
            self.shadow.close()
        if self.tracer is not None:
            await self.loop.run_in_executor(None, self.tracer.close)


def _those_that_count(
    adds: Sequence[Callable[[FinishedRequest], None]], row: FinishedRequest, request: Request, address: str
) -> None:
    if row.counts:
        for add in adds:
            add(row)
