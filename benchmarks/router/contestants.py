"""The routers that are compared: their command lines, and how one is started until it answers.

Ours runs from the environment of this Python, the peers from .venv-bench (benchmarks/peers/setup.sh). A contestant is
named by its router and its policy: "ours bf_io", "vllm-router round_robin".
"""

import contextlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.programs import ROOT, BenchError, Row, free_ports, options, running, wait_for

BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
OURS = "ours"
SHADOW = "+shadow"  # after a policy of ours: with every policy scored on the live trace, which no peer does
# the peers as modules: a script keeps the path of the environment in which it was installed
COMMANDS: dict[str, list[str]] = {
    OURS: [str(Path(sys.executable).parent / "shadowprice"), "route"],
    "vllm-router": [str(BENCH_PYTHON), "-m", "vllm_router.launch_router"],
    "sglang-router": [str(BENCH_PYTHON), "-m", "sglang_router.launch_router"],
    "smg": [str(BENCH_PYTHON), "-m", "smg", "launch"],  # its script `smg` is overwritten by sglang-router's
}
QUIET: dict[str, list[str]] = {
    OURS: [],
    "vllm-router": ["--log-level", "critical"],
    "sglang-router": ["--log-level", "error"],
    "smg": ["--log-level", "error"],
}
MODULES = {"vllm-router": "vllm_router", "sglang-router": "sglang_router", "smg": "smg"}
READY_S = 90.0  # a router of compiled kernels may have to compile them at its first start
PROBE = b'{"model":"mock","messages":[{"role":"user","content":"are you there"}],"max_tokens":1}'


@dataclass(frozen=True)
class Running:
    """A router that answers on `port`; log: what it has written."""

    name: str
    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


def split(name: str) -> tuple[str, str]:
    """Router and policy of a contestant. Raises BenchError for an unknown router."""
    router, _, policy = name.partition(" ")
    if router not in COMMANDS or not policy:
        raise BenchError(f"{name}: expected a router ({', '.join(COMMANDS)}) and its policy, as in 'ours bf_io'")
    return router, policy


def missing(name: str) -> str | None:
    """Why the contestant cannot run here, None when it can."""
    router, _ = split(name)
    if router == OURS:
        answer = subprocess.run([*COMMANDS[OURS], "--help"], capture_output=True)
        return "shadowprice route is not there" if answer.returncode else None
    if not BENCH_PYTHON.exists():
        return "not installed: run benchmarks/peers/setup.sh"
    found = subprocess.run([str(BENCH_PYTHON), "-c", f"import {MODULES[router]}"], capture_output=True)
    return "not installed: run benchmarks/peers/setup.sh" if found.returncode else None


def command(name: str, urls: Sequence[str], port: int, prometheus_port: int, **settings: Any) -> list[str]:
    """The contestant's command line before these workers; settings: more options, the same for all routers."""
    router, policy = split(name)
    if router == OURS and policy.endswith(SHADOW):
        policy = policy.removesuffix(SHADOW)
    elif router == OURS:
        settings = {"no_shadow": True, **settings}
    if router == OURS:
        settings = {"wait_for_kernels": True, **settings}
    given = {"policy": policy, "host": "127.0.0.1", "port": port, "prometheus_port": prometheus_port, **settings}
    return [*COMMANDS[router], "--worker-urls", *urls, *options(given), *QUIET[router]]


def answers(port: int) -> bool:
    """Whether a generation through the router succeeds."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", PROBE, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


@contextlib.contextmanager
def router(name: str, urls: Sequence[str], core: int | None = None, **settings: Any) -> Iterator[Running]:
    """The contestant before these workers for the length of a block, from when it answers.

    Raises BenchError with the end of its log when it does not answer in time.
    """
    port = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with running(command(name, urls, port, port + 1, **settings), core, log) as process:

            def ready() -> bool:
                if process.poll() is not None:
                    raise BenchError(f"{name} ended with exit code {process.returncode}: {tail(log)}")
                return answers(port)

            try:
                wait_for(ready, READY_S, name)
            except BenchError as error:
                raise BenchError(f"{error}: {tail(log)}") from None
            yield Running(name, process, port, log)


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])


def present(names: Sequence[str], rows: list[Row]) -> list[str]:
    """Those of the contestants that can run here; a row with the reason is added for each of the others."""
    found, why = [], {}
    for name in names:
        kind, _ = split(name)
        if kind not in why:
            why[kind] = missing(name)
        if why[kind]:
            rows.append({"router": name, "error": why[kind]})
        else:
            found.append(name)
    return found
