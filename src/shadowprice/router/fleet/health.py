"""Health probes: an endpoint silent for a second is asked; what fails is ejected, and let in again within seconds."""

import asyncio
from collections.abc import Callable

import aiohttp

from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.ranks import TRIES, number_ranks
from shadowprice.router.fleet.worker import UP, LiveWorker
from shadowprice.router.settings import Settings

Dead = Callable[[LiveWorker, str, float], None]
FAILED_PROBES = 2  # in a row; one is enough when nothing listens


async def probe(session: aiohttp.ClientSession, url: str, timeout_s: float) -> str:
    """Why the endpoint is not well; empty when it is."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False) as response:
            await response.read()
            return f"{url} answers {response.status}" if response.status >= 500 else ""
    except TimeoutError:
        return f"{url} does not answer within {timeout_s:g} s"
    except aiohttp.ClientConnectorError as error:
        return f"nothing listens: {error.os_error.strerror or error}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{url}: {error or type(error).__name__}"


async def watch_endpoint(
    fleet: Fleet, settings: Settings, session: aiohttp.ClientSession, url: str, dead: Dead
) -> None:
    """Probe as long as the fleet has workers there; dead: what becomes of the requests of one that fails, and why."""
    failures = asked = 0
    probed_s = 0.0
    while True:
        here = fleet.at(url)
        if not here:
            return
        since_s = max(probed_s, fleet.clock() - settings.health_check_interval_s)
        if all(_spoke(worker, since_s) for worker in here):
            failures = 0
            await asyncio.sleep(settings.health_check_interval_s)
            continue
        reason = await probe(session, url + settings.health_check_endpoint, settings.health_check_timeout_s)
        now_s = probed_s = fleet.clock()
        failures = failures + 1 if reason else 0
        asked = 0 if reason else asked + 1
        numbered = not reason and await number_ranks(fleet, settings, session, here, last_try=asked >= TRIES)
        for worker in here:
            if numbered:
                worker.probe_succeeded(now_s)
            elif not reason:
                worker.last_sign_s = now_s
            elif reason.startswith("nothing listens"):
                worker.refused(now_s, reason)
            elif failures >= FAILED_PROBES and now_s - worker.last_sign_s > settings.health_check_timeout_s:
                # nothing came from it while a probe waited: one that streams tokens is busy, not dead
                worker.eject(now_s, reason)
                dead(worker, reason, now_s)
                worker.header_rank = None
        fleet.reopened()
        await asyncio.sleep(settings.health_check_interval_s)


def _spoke(worker: LiveWorker, since_s: float) -> bool:
    """It is up and has sent something since then: nothing more could be learned from a probe."""
    return worker.state == UP and worker.last_sign_s > since_s
