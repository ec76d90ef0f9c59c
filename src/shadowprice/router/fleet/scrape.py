"""Workers' metrics: the size of their KV memory, and load that did not come through this router.

What is counted here is exact for what came this way. After a restart, or beside another router, the worker knows
more: what it reports beyond our own count, at the moment of the report, is added to its load until the next one.
"""

import asyncio

import aiohttp

from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.ranks import engines_in
from shadowprice.router.fleet.report import read_report
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.settings import Settings


def _label(worker: LiveWorker, engines: list[int]) -> int | None:
    """The label of the worker's rank: metrics number the ranks of the whole fleet, whatever the header does."""
    if worker.rank is None or not engines:
        return worker.rank
    local = worker.local_rank(engines[0])
    return engines[local] if local < len(engines) else worker.rank


def take_report(fleet: Fleet, worker: LiveWorker, text: bytes, before: tuple[int, int] = (0, 0)) -> None:
    """Correct what is known of the worker; before: requests and KV tokens counted here when the report was asked for.

    What ended while the report was on its way is in it, and is not foreign.
    """
    requests, usage, capacity, source = read_report(text, _label(worker, engines_in(text)))
    reported = worker.reported
    if source:
        reported.kv_capacity_tokens, reported.kv_capacity_source = capacity, source
    counted = fleet.counted(worker)
    if requests is not None:
        reported.foreign_requests = max(int(requests) - max(counted[0], before[0]), 0)
        none_of_ours = requests == 0 and min(counted[0], before[0]) > 0
        reported.idle_since_s = (reported.idle_since_s or fleet.clock()) if none_of_ours else 0.0
    if usage is not None and reported.kv_capacity_tokens:
        more = int(usage * reported.kv_capacity_tokens) - max(counted[1], before[1])
        # prefixes that requests share are held once: less than we count is no error of ours
        reported.foreign_kv_tokens = max(more, 0) if reported.foreign_requests else 0


async def watch_metrics(fleet: Fleet, settings: Settings, session: aiohttp.ClientSession, url: str) -> None:
    """Read the endpoint's metrics as long as the fleet has workers there; an endpoint without any is left alone."""
    timeout = aiohttp.ClientTimeout(total=settings.health_check_timeout_s)
    while here := fleet.at(url):
        before = {worker: fleet.counted(worker) for worker in here}
        try:
            async with session.get(f"{url}/metrics", timeout=timeout) as response:
                text = await response.read()
                if response.status == 200:
                    for worker in fleet.at(url):
                        take_report(fleet, worker, text, before.get(worker, (0, 0)))
        except (aiohttp.ClientError, OSError, ValueError):
            pass  # the health probe tells whether it lives
        await asyncio.sleep(settings.metrics_interval_s)
