"""Opens connections to workers."""

import asyncio
import ssl
from collections.abc import Callable

from shadowprice.router.address import Address
from shadowprice.router.http.outbox import Outbox
from shadowprice.router.http.upstream import Pool, Upstream

Opened = Callable[[Upstream], None]
Failed = Callable[[str, Exception], None]  # why, in words too


class Connector:
    """timeout_s: the longest that opening one may take."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, outbox: Outbox) -> None:
        self._loop, self._timeout_s, self._outbox = loop, timeout_s, outbox
        self._ssl: ssl.SSLContext | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, address: Address, pool: Pool, opened: Opened, failed: Failed) -> None:
        """Call one of the two, later. pool: where the connection waits between requests."""
        task = self._loop.create_task(self._open(address, pool, opened, failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, address: Address, pool: Pool, opened: Opened, failed: Failed) -> None:
        if address.tls and self._ssl is None:
            self._ssl = ssl.create_default_context()
        context = self._ssl if address.tls else None
        try:
            async with asyncio.timeout(self._timeout_s):
                _, upstream = await self._loop.create_connection(
                    lambda: Upstream(pool, self._outbox), address.host, address.port, ssl=context
                )
        except TimeoutError as error:
            failed("no connection in time", error)
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            failed(f"no connection: {error}", error)
        else:
            opened(upstream)
