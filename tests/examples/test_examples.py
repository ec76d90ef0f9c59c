"""The scripts of examples/ run as they stand, as a stranger would start them."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from shadowprice.workload import PRESETS, write_trace

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: str) -> str:
    """What the example prints; it must end well."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"]({path.name})" in listed


def test_audit_your_trace(tmp_path: Path) -> None:
    write_trace(PRESETS["azure-conv-like"](np.random.default_rng(1), requests=60), tmp_path / "mine.csv")
    printed = run("audit_your_trace.py", str(tmp_path / "mine.csv"))
    assert "mine: 60 requests" in printed
    assert "scheduling: fcfs" in printed and "% above the bound" in printed


def test_a_policy_of_your_own_is_measured_beside_the_others() -> None:
    lines = run("policy_of_your_own.py").splitlines()
    means_s = {line[:20].strip(): float(line[20:28]) for line in lines}
    assert list(means_s) == ["no policy can beat", "fcfs", "shortest_output", "priced_work", "ShortestTotal"]
    assert all(mean_s >= means_s["no policy can beat"] for mean_s in means_s.values())


class Worker(BaseHTTPRequestHandler):
    """Answers as a vLLM worker would, three tokens each time."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        message = {"role": "assistant", "content": "one two three"}
        self._answer(json.dumps({"choices": [{"index": 0, "message": message}], "usage": usage}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def worker_url() -> object:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Worker)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_before_your_vllm(worker_url: str) -> None:
    printed = run("before_your_vllm.py", worker_url, "--requests", "3")
    assert [line for line in printed.splitlines() if line.startswith("request ")] == [
        f"request {i}: 3 tokens" for i in range(3)
    ]
    assert "requests                  3" in printed
    assert "mean 9.0" in printed and "mean 3.0" in printed
