"""Processes of one router decide one at a time, who has the most pressing request first.

Who decides sees what the others gave away before, so caps hold. Room that was made where it is seen first goes to the
request that presses most: a process leaves it alone as long as another has one that presses more and has not looked
since the room was made. That one looks within milliseconds; who does not is not waited for.
"""

import fcntl
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

LONGEST_S = 0.02  # a decision takes far less; who takes longer stands still, and is not waited for
ALIVE_S = 0.1  # who has a queue looks far more often
Pressing = tuple[int, float]  # rank, and since when [s]; the smaller the more
NUMBERS = 4  # of a process: rank, since when, when it last looked, when room was last made [ns]


class DecisionLock:
    """One process's side. The kernel ends the turn of a process that dies."""

    def __init__(self, memory_name: str, heads: npt.NDArray[np.int64], own: int) -> None:
        """memory_name: of the memory that the processes share; heads [processes, NUMBERS]: there, zeroed."""
        self.path = Path(tempfile.gettempdir(), f"shadowprice-{memory_name}.lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._heads, self._own = heads, heads[own]
        self._others = np.arange(len(heads)) != own
        self._asked_s = 0.0  # since when another one has it

    def take(self) -> bool:
        """Begin to decide; False: another one does, ask again in the next turn of the event loop."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now_s = time.monotonic()
            self._asked_s = self._asked_s or now_s
            if now_s - self._asked_s < LONGEST_S:
                return False
        self._asked_s = 0.0
        return True

    def room_was_made(self) -> None:
        """A request of this process has left its worker."""
        self._own[3] = time.monotonic_ns()

    def is_first(self, pressing: Pressing) -> bool:
        """No other process has a request that presses more, and has yet to look at the room that there is."""
        rank, since_ns = pressing[0], int(pressing[1] * 1e9)
        made_ns = self._heads[:, 3].max()
        ranks, since, looked = self._heads[self._others, :3].T
        more = (since > 0) & ((ranks < rank) | ((ranks == rank) & (since < since_ns)))
        alive = looked > time.monotonic_ns() - int(ALIVE_S * 1e9)
        return not bool((more & alive & (looked <= made_ns)).any())

    def end(self, pressing: Pressing | None) -> None:
        """It is decided. pressing: what presses most of what still waits."""
        rank, since_s = pressing or (0, 0.0)
        self._own[:3] = rank, int(since_s * 1e9), time.monotonic_ns()
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def remove(self) -> None:
        """No other process will take turns any more."""
        self.path.unlink(missing_ok=True)
