"""What the first run after an installation costs, beside later ones; and what is compiled for it, how often.

    .venv/bin/python benchmarks/cold_start.py [--check]

The audit of the built-in pair on one core; and a router without workers, until it answers, and until what decides is
compiled and loaded, with the slowest of its answers meanwhile. Each once with no compiled kernel on the disk and once
with all. Listed are the functions that were compiled for more than one signature: each costs its compilation again.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
from pathlib import Path
from typing import NamedTuple

from promises import Promise, at_most, conclude
from router.programs import cpu_s, free_ports, get, running, wait_for

TARGET_AUDIT_S, TARGET_LISTENS_S = 15.0, 3.0
PATIENCE_S = 300.0
# runs a verb, then writes to argv[1] each kernel that was compiled and its signatures
VERB = """
import json, sys
from contextlib import suppress
from shadowprice.cli import main
with suppress(SystemExit):
    note, *sys.argv = sys.argv[1:]
    main()
from numba.core.dispatcher import Dispatcher
kernels = {}
for name, module in list(sys.modules.items()):
    if name.startswith("shadowprice."):
        for one in vars(module).values():
            if isinstance(one, Dispatcher) and one.py_func.__module__ == name and one.signatures:
                kernels[f"{name}.{one.py_func.__name__}"] = [list(map(str, types)) for types in one.signatures]
with open(note, "w") as file:
    json.dump(kernels, file)
"""


class Start(NamedTuple):
    """CPU time and time by the clock of one start [s], and the signatures of each kernel."""

    cpu_s: float
    clock_s: float
    kernels: dict[str, list[list[str]]]


def started(words: list[str], caches: str) -> Start:
    """Run a verb to its end in a process of its own, held to one core."""

    def to_one_core() -> None:
        if hasattr(os, "sched_setaffinity"):  # Linux only
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "kernels.json"
        command = [sys.executable, "-c", VERB, str(note), "shadowprice", *words]
        began = time.perf_counter()
        environment = os.environ | {"NUMBA_CACHE_DIR": caches}
        process = subprocess.Popen(command, env=environment, preexec_fn=to_one_core, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with exit code {process.returncode}")
        clock_s = time.perf_counter() - began
        return Start(usage.ru_utime + usage.ru_stime, clock_s, json.loads(note.read_text()))


class RouterStart(NamedTuple):
    """CPU time and time by the clock [s] until it answers and until it is compiled; its slowest answer after the first.

    CPU time: of all its processes that lived then.
    """

    answers_cpu_s: float
    answers_s: float
    compiled_cpu_s: float
    compiled_s: float
    slowest_s: float


def answers(port: int) -> bool:
    """Does the router say anything at all."""
    with contextlib.suppress(urllib.error.HTTPError):  # that no worker is up: an answer
        get(f"http://127.0.0.1:{port}/health", PATIENCE_S)
    return True


def router_started(caches: str) -> RouterStart:
    """Start a router and ask it all the time, until it is compiled."""
    port = free_ports(2)
    command = [
        sys.executable,
        "-m",
        "shadowprice.cli",
        "route",
        "--port",
        str(port),
        "--prometheus-port",
        str(port + 1),
    ]
    began = time.perf_counter()
    with running(["env", f"NUMBA_CACHE_DIR={caches}", *command]) as process:
        wait_for(lambda: answers(port), PATIENCE_S, "the router")
        answers_s, answers_cpu_s = time.perf_counter() - began, cpu_s(process.pid)
        slowest_s, spent_s, state = 0.0, answers_cpu_s, ""
        while state != "compiled":
            time.sleep(0.02)
            asked = time.perf_counter()
            answers(port)
            slowest_s = max(slowest_s, time.perf_counter() - asked)
            spent_s = max(spent_s, cpu_s(process.pid))
            state = json.loads(get(f"http://127.0.0.1:{port + 1}/stats", PATIENCE_S))["kernels"]["state"]
            if state == "failed" or time.perf_counter() - began > PATIENCE_S:
                raise RuntimeError(f"the router's kernels: {state}")
        return RouterStart(answers_cpu_s, answers_s, spent_s, time.perf_counter() - began, slowest_s)


def route(caches: str) -> list[Promise]:
    """The router, cold and warm."""
    cold, warm = (router_started(caches) for _ in range(2))
    for title, start in (("first", cold), ("later", warm)):
        print(
            f"router, {title} start: answers after {start.answers_cpu_s:.2f} s of CPU time, {start.answers_s:.2f} s by "
            f"the clock; compiled and loaded after {start.compiled_cpu_s:.2f} and {start.compiled_s:.2f} s; slowest "
            f"answer until then {1000 * start.slowest_s:.0f} ms"
        )
    return [at_most("router answers, first start, CPU time", cold.answers_cpu_s, TARGET_LISTENS_S, "s")]


def show(name: str, cold: Start, warm: Start) -> None:
    """Both starts, and what was compiled twice."""
    for title, start in (("first", cold), ("later", warm)):
        print(f"{name}, {title} run: {start.cpu_s:.2f} s of CPU time, {start.clock_s:.2f} s by the clock")
    signatures = sum(len(types) for types in cold.kernels.values())
    print(f"{len(cold.kernels)} kernels compiled for {signatures} signatures")
    for kernel, types in cold.kernels.items():
        if len(types) > 1:
            differ = [place for place, kinds in enumerate(zip(*types, strict=True)) if len(set(kinds)) > 1]
            kinds = [" beside ".join(dict.fromkeys(one[place][:60] for one in types)) for place in differ]
            print(f"  {kernel}: {len(types)} times, for arguments of {'; '.join(kinds)}")


def audit(caches: str) -> list[Promise]:
    """The audit, cold and warm."""
    cold, warm = (started(["audit"], caches) for _ in range(2))
    show("audit", cold, warm)
    return [at_most("audit of the built-in pair, first run, CPU time", cold.cpu_s, TARGET_AUDIT_S, "s")]


def main() -> int:
    """Print all; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    parser.add_argument("--caches", help="keep compiled kernels in this folder; by default in one that is new")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as new:
        caches = new if args.caches is None else args.caches
        missed = conclude([*route(caches), *audit(caches)])
    return missed if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
