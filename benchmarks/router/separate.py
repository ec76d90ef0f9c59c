"""Mock workers that are processes of their own, so that one can be killed, frozen or started again."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from router.programs import Row, free_ports, get, start, stats, stop, wait_for, workers_command


@dataclass
class Separate:
    """Workers by index: their URLs and processes (replaced when one is started again), and how each is started."""

    urls: list[str]
    commands: list[list[Any]]
    processes: list["subprocess.Popen[str]"]

    def kill(self, index: int) -> None:
        """SIGKILL, as a crash is."""
        self.processes[index].kill()
        self.processes[index].wait()

    def restart(self, index: int) -> None:
        """Start a killed worker again; it listens when this returns, and its counters are zero."""
        self.processes[index] = start(self.commands[index])
        wait_for(lambda: get(self.urls[index] + "/health"), 5, self.urls[index])

    def freeze(self, index: int) -> None:
        """SIGSTOP: its connections stay open and nothing moves."""
        self.processes[index].send_signal(signal.SIGSTOP)

    def thaw(self, index: int) -> None:
        self.processes[index].send_signal(signal.SIGCONT)

    def order(self, index: int, what: str) -> None:
        """What workers.c takes after /ctl/: healthy, hang, a status, slow/MS."""
        get(f"{self.urls[index]}/ctl/{what}")

    def stats(self) -> list[Row]:
        """The counters of every worker; all must be alive and unfrozen."""
        return [stats(url) for url in self.urls]


@contextlib.contextmanager
def separate_workers(count: int, **settings: Any) -> Iterator[Separate]:
    """`count` worker processes for the length of a block; settings: the options of workers.c."""
    first = free_ports(count)
    commands = [workers_command(port, **settings) for port in range(first, first + count)]
    urls = [f"http://127.0.0.1:{port}" for port in range(first, first + count)]
    fleet = Separate(urls, commands, [start(command) for command in commands])
    try:
        for url in urls:
            wait_for(lambda url=url: get(url + "/health"), 5, url)
        yield fleet
    finally:
        for process in fleet.processes:
            process.send_signal(signal.SIGCONT)
            stop(process)
