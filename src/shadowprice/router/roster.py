"""Changes while the router runs: workers that come and go, another policy; in all its processes."""

import asyncio
from collections.abc import Callable

from shadowprice.errors import PolicyError
from shadowprice.fleet.names import did_you_mean
from shadowprice.router.background import Background
from shadowprice.router.decide.first_run import FirstRun
from shadowprice.router.fleet.worker import DRAINING, LiveWorker, ranks_of
from shadowprice.router.processes.first import followed_of
from shadowprice.router.processes.messages import Change, Drain, Followed, Forget, UsePolicy
from shadowprice.router.router import Router
from shadowprice.routing.policies import POLICIES


class Roster:
    """looked_after: called with the URL of every worker that is added. tell: tells the other processes of a change.

    first_run: has policies compiled.
    """

    def __init__(
        self,
        router: Router,
        background: Background,
        looked_after: Callable[[str], None],
        tell: Callable[[Change], None],
        first_run: FirstRun,
    ) -> None:
        self._router, self._background = router, background
        self._looked_after, self._tell, self._first_run = looked_after, tell, first_run

    async def add_worker(self, url: str) -> list[str]:
        """Route to the worker behind this URL, or to its ranks; their names. Raises RouterError."""
        ranks = ranks_of(url, self._router.settings.intra_node_data_parallel_size)
        workers = [self._add(worker) for worker in ranks]
        for worker in workers:
            self._tell(followed_of(worker))
        return [worker.name for worker in workers]

    def _add(self, worker: LiveWorker, serial: int | None = None) -> LiveWorker:
        worker = self._router.fleet.add(worker, serial)
        self._looked_after(worker.address.url)
        return worker

    async def remove_worker(self, name: str, *, drain: bool) -> None:
        """Take no more for it; drain: let it finish what it has, for at most drain_timeout_s. Raises RouterError."""
        worker = self._router.fleet.named(name)
        if not drain:
            self._remove(worker)
        elif worker.state != DRAINING:
            worker.drain()
            self._tell(Drain(worker.serial))
            self._background.run(self._remove_when_idle(worker))

    async def _remove_when_idle(self, worker: LiveWorker) -> None:
        router = self._router
        end_s = router.clock() + router.settings.drain_timeout_s
        while worker.in_flight or router.flights.held(worker.serial):
            await asyncio.sleep(0.1)
            if worker.state != DRAINING:  # asked for again
                return
            if router.clock() > end_s:
                break
        if worker in router.fleet.workers:
            self._remove(worker)

    def _remove(self, worker: LiveWorker) -> None:
        self._tell(Forget(worker.serial))
        self._router.remove(worker)

    async def set_policy(self, name: str) -> None:
        """Another routing policy, from when it is compiled and loaded. Raises PolicyError."""
        known = name.replace("-", "_")
        if known not in POLICIES:
            raise PolicyError(f"policy {name!r}: no such routing policy; {did_you_mean(name, POLICIES)}")
        await self._first_run.load(known)
        self._use(known)
        self._tell(UsePolicy(known))

    async def _follow_policy(self, name: str) -> None:
        await self._first_run.load(name)
        self._use(name)

    def _use(self, policy: str) -> None:
        router = self._router
        router.dispatcher.use(policy)
        router.flights.compiled = True

    def follow(self, change: Change) -> None:
        """Do what the first process did. Raises RouterError."""
        router = self._router
        if isinstance(change, Followed):
            self._add(LiveWorker(change.url, change.rank, change.ranks), change.serial)
        elif isinstance(change, UsePolicy):
            self._background.run(self._follow_policy(change.name))
        else:
            for worker in [worker for worker in router.fleet.workers if worker.serial == change.serial]:
                if isinstance(change, Drain):
                    worker.drain()
                else:
                    router.remove(worker)
