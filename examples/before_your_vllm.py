"""The router before your vLLM workers: send requests through it, keep their trace, and look at what it holds.

    python examples/before_your_vllm.py http://gpu1:8000 http://gpu2:8000 [--model NAME] [--requests 8]

Clients notice nothing: they speak to the router as they spoke to a worker. It needs the extra `router`
(pip install 'shadowprice[router]').
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import shadowprice as sp


@contextmanager
def router(workers, record):
    """A router before these workers that writes its trace to `record`; gives its address."""
    port, admin_port = free_port(), free_port()
    command = [sys.executable, "-m", "shadowprice.cli", "route", *workers]
    command += ["--port", str(port), "--prometheus-port", str(admin_port), "--record", str(record)]
    process = subprocess.Popen(command)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process)
        yield address
    finally:
        process.terminate()  # it finishes what it has, then writes the last of the record
        process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_ready(address, process, seconds=120):
    """Until a worker has answered its probe: `/health` is then 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            return urllib.request.urlopen(f"{address}/health").close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"the router is not ready; exit code {process.poll()}, waited up to {seconds} s")


def ask(address, model, prompt):
    """Send one request as any OpenAI client would; gives the answer."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
    request = urllib.request.Request(
        f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workers", nargs="+", metavar="URL")
    parser.add_argument("--model", default="default")
    parser.add_argument("--requests", type=int, default=8)
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "trace.parquet"
        with router(asked.workers, record) as address:
            for i in range(asked.requests):
                answer = ask(address, asked.model, f"Say {i} in as many languages as you can.")
                print(f"request {i}: {answer['usage']['completion_tokens']} tokens")
        trace = sp.read_trace(record)  # what was served, ready for sp.audit and sp.plan
        print(sp.workload.describe(trace))


if __name__ == "__main__":
    main()
