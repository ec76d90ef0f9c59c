"""Workers' metrics: the size of their KV memory, and load that did not come through this router.

What is counted here is exact for what came this way. After a restart, or beside another router, the worker knows
more: what it reports beyond our own count, at the moment of the report, is added to its load until the next one.
"""

import asyncio
import math
import re

import aiohttp

from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.ranks import engines_in
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.settings import Settings

MOST_REQUESTS, MOST_TOKENS = 1 << 20, 1 << 40  # what a worker reports beyond these is taken as these

LINE = rb"^(?:vllm|sglang):%b(\{[^}\n]*\})? ([0-9.eE+-]+|NaN)"
RUNNING = re.compile(LINE % b"num_(?:requests_running|running_reqs)", re.MULTILINE)
WAITING = re.compile(LINE % b"num_(?:requests_waiting|queue_reqs)", re.MULTILINE)
USAGE = re.compile(LINE % b"(?:kv_cache_usage_perc|gpu_cache_usage_perc|token_usage)", re.MULTILINE)
CAPACITY = re.compile(LINE % b"max_total_num_tokens", re.MULTILINE)
CONFIG = re.compile(rb"^vllm:cache_config_info(\{[^}\n]*\})", re.MULTILINE)
BLOCKS = re.compile(rb'num_gpu_blocks="(\d{1,12})"')
BLOCK_SIZE = re.compile(rb'[{,]block_size="(\d{1,12})"')
ENGINE = re.compile(rb'[{,](?:engine|dp_rank)="(\d{1,9})"')


def read_report(text: bytes, rank: int | None) -> tuple[float | None, float | None, int | None]:
    """Requests there, share of KV memory used, its size in tokens; None for what the text does not say.

    rank: as the text labels it, or None for all together.
    """
    running, waiting = _value(RUNNING, text, rank), _value(WAITING, text, rank)
    requests = None if running is None else min(running + (waiting or 0.0), MOST_REQUESTS)
    usage = _value(USAGE, text, rank, mean=True)
    return requests, None if usage is None else min(usage, 1.0), _capacity(text, rank)


def _value(pattern: re.Pattern[bytes], text: bytes, rank: int | None, *, mean: bool = False) -> float | None:
    """The sample of this rank; the sum (or mean) of all where no rank is asked for. NaN and the like: not known."""
    found = pattern.findall(text)
    if rank is not None and any(ENGINE.search(labels) for labels, _ in found):
        found = [(labels, value) for labels, value in found if _is_rank(labels, rank)]
    values = [value for value in (_number(value) for _, value in found) if value is not None]
    if not values:
        return None
    return sum(values) / (len(values) if mean else 1)


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _capacity(text: bytes, rank: int | None) -> int | None:
    """KV tokens of this rank; of all engines of the endpoint where no rank is asked for."""
    total = 0
    for labels in CONFIG.findall(text):
        blocks, size = BLOCKS.search(labels), BLOCK_SIZE.search(labels)
        if blocks and size and (rank is None or _is_rank(labels, rank) or ENGINE.search(labels) is None):
            total += int(blocks[1]) * int(size[1])
    return min(total or int(_value(CAPACITY, text, rank) or 0), MOST_TOKENS) or None


def _is_rank(labels: bytes, rank: int) -> bool:
    engine = ENGINE.search(labels)
    return engine is not None and int(engine[1]) == rank


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
    requests, usage, capacity = read_report(text, _label(worker, engines_in(text)))
    reported = worker.reported
    if capacity is not None:
        reported.kv_capacity_tokens = capacity
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
