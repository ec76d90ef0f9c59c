"""Processes of one router decide one at a time: who decides sees what the others gave away before."""

import fcntl
import os
import tempfile
import time
from pathlib import Path

LONGEST_S = 0.02  # a decision takes far less; who takes longer stands still, and is not waited for


class Turns:
    """One process's side. The kernel ends the turn of a process that dies."""

    def __init__(self, memory_name: str) -> None:
        """memory_name: of the memory that the processes share."""
        self.path = Path(tempfile.gettempdir(), f"shadowprice-{memory_name}.lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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

    def end(self) -> None:
        """It is decided."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """No more turns, of no process."""
        os.close(self._file)
        self.path.unlink(missing_ok=True)
