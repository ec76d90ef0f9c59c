"""Writes that wait for the end of the event loop's turn, to be made one after another.

Between a read and a write lies nearly all of the router's code, and behind each write nearly all of the kernel's: done
by turns they drive one another out of the processor's caches, which costs a tenth of all.
"""

import asyncio
from collections.abc import Collection
from typing import Protocol

FEW = 3  # exchanges: where one is served at a time there is nothing to put together
MOST = 16  # writes that wait, so that the first does not wait for long


class Writer(Protocol):
    """A transport, or what stands for one."""

    def write(self, data: bytes, /) -> None:
        """Write this at once."""

    def is_closing(self) -> bool:
        """May nothing be written any more."""
        ...


class Outbox:
    """exchanges: those at a worker. Who writes to a transport beside this flushes first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, exchanges: Collection[object], few: int = FEW) -> None:
        self.few = few
        self._loop = loop
        self._exchanges = exchanges
        self._waiting: list[tuple[Writer, bytes]] = []

    def write(self, transport: Writer, data: bytes) -> None:
        """Write this at the end of this turn at the latest."""
        waiting = self._waiting
        if not waiting:
            if len(self._exchanges) <= self.few:
                transport.write(data)
                return
            self._loop.call_soon(self.flush)
        waiting.append((transport, data))
        if len(waiting) >= MOST:
            self.flush()

    def flush(self) -> None:
        """Write what waits, but for those that are gone."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
