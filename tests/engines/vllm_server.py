"""A real `vllm serve` on the CPU, as a process that tests start, kill and start again."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

READY_WITHIN_S = 400
OFFLINE = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class VllmServer:
    """Serves the model as `tiny`. flags: more of `vllm serve`; environment: more than OFFLINE."""

    def __init__(self, python: Path, model: Path, *flags: str, **environment: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = model / f"serve-{self.port}.log"
        self.command: list[str | Path] = [python.with_name("vllm"), "serve", model, f"--port={self.port}"]
        self.command += ["--served-model-name=tiny", "--enforce-eager", *flags]
        self.environment = os.environ | OFFLINE | environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; `wait_until_ready` waits. In a session of its own, since it has processes of its own."""
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                self.command, stdout=out, stderr=out, env=self.environment, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        """Fails with the end of the server's log when it does not come up."""
        assert self.process is not None
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            if self.healthy():
                return
            time.sleep(0.5)
        pytest.fail(f"vllm serve did not come up: {self.log.read_text()[-4000:]}")

    def healthy(self) -> bool:
        """Does it answer its health probe."""
        try:
            return requests.get(f"{self.address}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """SIGKILL to it and all its processes, at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=60)

    def stop(self) -> None:
        """End it; whatever of it is left after a minute is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        text = requests.get(f"{self.address}/metrics", timeout=30).text
        return sum(float(value) for value in re.findall(rf"^vllm:{name}\{{.*\}} (\S+)$", text, re.MULTILINE))
