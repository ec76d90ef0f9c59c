"""How an endpoint numbers its data-parallel ranks in the header X-data-parallel-rank.

The nodes of a vLLM fleet with hybrid load balancing hold the ranks [S, S + L) of the fleet each. One front end takes
the header as a rank among its own, 0 to L - 1; another as a rank of the fleet. Where S = 0 both are the same. Any other
endpoint is asked for a token by numbers that only one of the two knows, before its ranks get requests: S + L - 1 is
beyond the local range, 0 beyond that of the fleet.
"""

import re
from collections.abc import Sequence

import aiohttp
import msgspec

from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.worker import LiveWorker
from shadowprice.router.settings import Settings

HEADER = "X-data-parallel-rank"
ASK_TIMEOUT_S = 15.0
TRIES = 3
NOT_THE_RANK = (401, 403, 404, 429, 503)  # an answer that has other reasons than the number
ENGINE = re.compile(
    rb'^(?:vllm|sglang):num_(?:requests_running|running_reqs)\{[^}\n]*\b(?:engine|dp_rank)="(\d+)"', re.MULTILINE
)


class _NoAnswer(Exception):
    """The endpoint does not say whether it knows a rank."""


def engines_in(text: bytes) -> list[int]:
    """The ranks of the fleet that an endpoint's metrics name, ascending."""
    return sorted(set(map(int, ENGINE.findall(text))))


async def number_ranks(
    fleet: Fleet, settings: Settings, session: aiohttp.ClientSession, workers: Sequence[LiveWorker], *, last_try: bool
) -> bool:
    """Give these workers, all of one endpoint, the number that its header takes; False: not known, to be tried again.

    What cannot be told is taken to be local, and the workers say so in their state.
    """
    ranks = [worker for worker in workers if worker.rank is not None]
    if all(worker.header_rank is not None for worker in ranks):
        return True
    first, offset, note = _first_by_order(fleet, ranks[0]), 0, ""
    try:
        first, count = await _held(settings, session, ranks[0], first)
        if first > 0:
            as_global = await _knows(settings, session, ranks[0], first + count - 1)
            as_local = await _knows(settings, session, ranks[0], 0)
            offset = first if as_global and not as_local else 0
            if as_global == as_local:
                note = f"it {'takes' if as_local else 'refuses'} {HEADER} {first + count - 1} and 0 alike"
    except _NoAnswer as error:
        if not last_try:
            return False
        note = str(error)
    for worker in ranks:
        worker.number(worker.local_rank(first) + offset, note and f"ranks are taken to be numbered from 0: {note}")
    return True


def _first_by_order(fleet: Fleet, worker: LiveWorker) -> int:
    """Where its metrics do not tell: as many ranks as each URL before it has; a rank named in the URL is as named."""
    each = worker.endpoint_ranks
    urls = dict.fromkeys(other.address.url for other in fleet.workers if other.endpoint_ranks == each)
    return 0 if each == 1 else each * list(urls).index(worker.address.url)


async def _held(
    settings: Settings, session: aiohttp.ClientSession, worker: LiveWorker, by_order: int
) -> tuple[int, int]:
    """The first rank of the fleet that is there, and how many are."""
    engines = engines_in(await _get(settings, session, worker, "/metrics"))
    return (engines[0], len(engines)) if engines else (by_order, worker.endpoint_ranks)


async def _knows(settings: Settings, session: aiohttp.ClientSession, worker: LiveWorker, number: int) -> bool:
    """Does it complete a token with this number in the header."""
    try:
        models = msgspec.json.decode(await _get(settings, session, worker, "/v1/models"))
        body = {"model": models["data"][0]["id"], "prompt": "1", "max_tokens": 1}
    except (msgspec.DecodeError, LookupError, TypeError) as error:
        raise _NoAnswer("/v1/models names no model") from error
    headers = {**_authorization(settings), HEADER: str(number)}
    timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
    url = worker.address.url + "/v1/completions"
    try:
        async with session.post(url, json=body, headers=headers, timeout=timeout) as response:
            await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise _NoAnswer(f"asked for a token: {error or type(error).__name__}") from error
    if response.status in NOT_THE_RANK:
        raise _NoAnswer(f"asked for a token it answers {response.status}")
    return response.status == 200


async def _get(settings: Settings, session: aiohttp.ClientSession, worker: LiveWorker, path: str) -> bytes:
    """What is there; nothing where it is not answered with 200."""
    timeout = aiohttp.ClientTimeout(total=settings.health_check_timeout_s)
    url = worker.address.url + path
    try:
        async with session.get(url, headers=_authorization(settings), timeout=timeout) as response:
            body = await response.read()
            return body if response.status == 200 else b""
    except (aiohttp.ClientError, OSError) as error:
        raise _NoAnswer(f"{path}: {error or type(error).__name__}") from error


def _authorization(settings: Settings) -> dict[str, str]:
    key = settings.worker_api_key
    return {} if key is None else {"Authorization": f"Bearer {key}"}
