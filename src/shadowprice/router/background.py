"""What runs beside the requests."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class Background:
    """Tasks of one event loop; what fails is told to its exception handler."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside the requests."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            about = {"message": "background work of the router failed", "exception": task.exception(), "task": task}
            self._loop.call_exception_handler(about)

    async def attempt(self, step: Awaitable[object]) -> None:
        """As `step` does, of what takes its time."""
        try:
            await step
        except Exception as error:
            self._stumbled(error)

    def step(self, step: Callable[[], object]) -> None:
        """The clock goes on, whatever one step of it did."""
        try:
            step()
        except Exception as error:
            self._stumbled(error)

    def _stumbled(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "the router's clock stumbled", "exception": error})

    async def stop(self) -> None:
        """End it all."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
