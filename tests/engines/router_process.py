"""The router as a process of its own, before real servers."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from vllm_server import free_port

READY_WITHIN_S = 120  # the first start compiles


class RouterProcess:
    """`shadowprice route` with these flags."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.address, self.admin = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        ports = [f"--port={self.address.rpartition(':')[2]}", f"--prometheus-port={self.admin.rpartition(':')[2]}"]
        self.log = folder / f"router-{ports[0].rpartition('=')[2]}.log"
        command = [Path(sys.executable).with_name("shadowprice"), "route", "--wait-for-kernels", *ports, *flags]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def wait_until_up(self, workers: int) -> None:
        """Until so many workers get requests."""
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if [worker["state"] for worker in self.workers()].count("up") == workers:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.2)
        pytest.fail(f"the router did not come up: {self.log.read_text()[-4000:]}")

    def workers(self) -> list[dict[str, Any]]:
        """As the admin port tells them."""
        workers: list[dict[str, Any]] = requests.get(f"{self.admin}/workers", timeout=30).json()["workers"]
        return workers

    def worker(self, address: str) -> dict[str, Any]:
        """The worker at this address."""
        return next(worker for worker in self.workers() if worker["name"] == address)

    def use(self, policy: str) -> None:
        """Swap the routing policy."""
        answer = requests.put(f"{self.admin}/policy", json={"policy": policy}, timeout=30)
        assert answer.ok, answer.text

    def stop(self) -> int:
        """SIGTERM: it drains; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)
