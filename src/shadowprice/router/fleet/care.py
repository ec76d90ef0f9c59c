"""Who looks after the workers: a probe and a reader of metrics for each endpoint that has some."""

from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from shadowprice.router.background import Background
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.health import Dead, watch_endpoint
from shadowprice.router.fleet.scrape import watch_metrics
from shadowprice.router.settings import Settings


class Care:
    """dead: what becomes of the requests of a worker whose probes failed."""

    def __init__(
        self, fleet: Fleet, settings: Settings, session: aiohttp.ClientSession, background: Background, dead: Dead
    ) -> None:
        self._fleet, self._settings, self._session, self._dead = fleet, settings, session, dead
        self._background = background
        self._watched: set[tuple[str, str]] = set()

    def look_after(self, url: str) -> None:
        """Probe this endpoint and read its metrics, as long as the fleet has workers there."""
        fleet, settings, session = self._fleet, self._settings, self._session
        self._watch("health", url, lambda: watch_endpoint(fleet, settings, session, url, self._dead))
        self._watch("metrics", url, lambda: watch_metrics(fleet, settings, session, url))

    def _watch(self, what: str, url: str, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if (what, url) in self._watched:
            return
        self._watched.add((what, url))

        async def watched() -> None:
            try:
                await watch()
            finally:
                self._watched.discard((what, url))

        self._background.run(watched())
