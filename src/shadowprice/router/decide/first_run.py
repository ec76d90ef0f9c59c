"""The first run after an installation: another process compiles what decides, while a plain rule decides here.

Compiling it here would hold the event loop for half a minute. What is compiled is kept on the disk (`kernels.py`), and
so is a note that it is; then it is loaded, in a thread, and takes over. Of several processes on one port the first has
it compiled, the others look for the note.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from shadowprice.errors import RouterError
from shadowprice.kernels import is_noted, note
from shadowprice.router.decide.policy import make_policy
from shadowprice.router.fleet import in_flight
from shadowprice.router.parent import end_with_parent
from shadowprice.router.settings import Settings
from shadowprice.routing.policies import POLICIES
from shadowprice.routing.surface import Pending, Workers

LOOK_S = 0.2  # between two looks for the note
LOADING_S = 3.0  # what takes longer than this compiles
COMPILED, COMPILING, FAILED = "compiled", "compiling", "failed"


class FirstRun:
    """What of the compiled code is here. compiles: has what is not there compiled, in a process of its own."""

    def __init__(self, settings: Settings, *, compiles: bool) -> None:
        self._settings, self._compiles = settings, compiles
        self._here: set[str] = set()  # policies
        self._awaited: set[str] = set()
        self._processes: dict[str, BaseProcess] = {}
        self._error = ""

    @staticmethod
    def is_compiled(policy: str) -> bool:
        """Will loading it take no longer than loading does; also where compiled code cannot be kept."""
        return is_noted(*_noted(policy))

    def load_now(self, policy: str) -> None:
        """Load it, or compile it here and say so."""
        notice = threading.Timer(LOADING_S, say, ["compiling, once after each installation: half a minute or so"])
        notice.daemon = True
        notice.start()
        try:
            load(policy, self._settings)
        finally:
            notice.cancel()
        note(*_noted(policy))
        self._here.add(policy)

    async def load(self, policy: str) -> None:
        """Have it compiled, if it is not, and load it. Raises RouterError where that fails."""
        if policy in self._here:
            return
        loop = asyncio.get_running_loop()
        if self._settings.wait_for_kernels:
            await loop.run_in_executor(None, self.load_now, policy)
            return
        self._awaited.add(policy)
        try:
            await self._compiled(policy)
            await loop.run_in_executor(None, load, policy, self._settings)
        finally:
            self._awaited.discard(policy)
        self._here.add(policy)
        self._error = ""

    async def _compiled(self, policy: str) -> None:
        while not self.is_compiled(policy):
            process = self._processes.get(policy)
            if process is None and self._compiles:
                self._processes[policy] = _start(policy, self._settings)
            elif process is not None and not process.is_alive() and not self.is_compiled(policy):
                del self._processes[policy]
                self._error = f"the process that compiled ended with exit code {process.exitcode}"
                raise RouterError(f"policy {policy}: {self._error}; what decided before goes on")
            await asyncio.sleep(LOOK_S)
        self._processes.pop(policy, None)

    def to_json(self) -> dict[str, Any]:
        """For /status."""
        state = COMPILING if self._awaited else FAILED if self._error else COMPILED
        return {"state": state, "error": self._error}

    def close(self) -> None:
        """End what still compiles."""
        for process in self._processes.values():
            process.kill()
            process.join()
        self._processes.clear()


def load(policy: str, settings: Settings) -> None:
    """Call every kernel of a decision once, as the router does."""
    flights = in_flight.Flights()
    flights.set_workers([0])
    flights.survey()
    none = np.zeros(1, np.int64)
    request = Pending(np.zeros(1), np.ones(1, np.int64), np.full(1, -1, np.int64))
    make_policy(policy, settings).assign(request, Workers(none, none, none, none, none + 1), 0.0)


def say(what: str) -> None:
    """A line for the operator."""
    print(f"kernels    {what}", file=sys.stderr, flush=True)


def _noted(policy: str) -> tuple[str, list[str]]:
    """The note of one policy, and the modules that its code is made from."""
    own = getattr(POLICIES[policy], "__module__", None)
    return f"router.{policy}", [in_flight.__name__, *([own] if own in sys.modules else [])]


def _start(policy: str, settings: Settings) -> BaseProcess:
    # spawned: a fork would copy the router's sockets and threads
    process = multiprocessing.get_context("spawn").Process(target=_compile, args=(policy, settings), daemon=True)
    process.start()
    return process


def _compile(policy: str, settings: Settings) -> None:
    """In the other process: with less priority than the router, ended by it alone, and with it."""
    if sys.platform != "win32":
        os.nice(2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the router decides
    threading.Thread(target=end_with_parent, daemon=True).start()
    began_s = time.monotonic()
    load(policy, settings)
    note(*_noted(policy))
    say(f"compiled in {time.monotonic() - began_s:.0f} s")
