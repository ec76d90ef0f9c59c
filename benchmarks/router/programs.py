"""The C programs of the router benchmarks, the processes they and the routers run in, and what those cost.

workers.c: mock inference workers; load.c: the load generator. Both are compiled at run time into build/router.
Everything listens and connects on the loopback address only.
"""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "router"
SOURCES = {
    "workers": ("workers.c", "worker_answers.c", "worker_requests.c", "worker_steps.c"),
    "load": ("load.c", "load_answer.c", "load_sample.c"),
}

Row = dict[str, Any]


class BenchError(Exception):
    """The benchmark cannot run here, or something it started did not do what it must."""


def compiler() -> str | None:
    """The C compiler found here, if any."""
    return shutil.which(os.environ.get("CC", "cc"))


def program(name: str) -> Path:
    """The compiled program, built first when a source is newer. Raises BenchError without a compiler."""
    target = BUILD / name
    newest = max(path.stat().st_mtime for path in (*HERE.glob("*.c"), *HERE.glob("*.h")))
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    cc = compiler()
    if not cc:
        raise BenchError("no C compiler: install cc or name one in CC")
    BUILD.mkdir(parents=True, exist_ok=True)
    fresh = BUILD / f"{name}.{os.getpid()}"  # renamed when whole: another process may be building the same
    sources = [str(HERE / source) for source in SOURCES[name]]
    done = subprocess.run([cc, "-O2", "-Wall", "-o", str(fresh), *sources, "-lm"], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{name} does not compile: {done.stderr.strip()}")
    fresh.rename(target)
    return target


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that nobody listens on, below the range the kernel gives to clients."""
    for _ in range(200):
        first = random.randrange(15_000, 32_000 - count)
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise BenchError(f"no {count} consecutive free ports between 15000 and 32000")


def options(settings: Row) -> list[str]:
    """Settings as command-line options: True is a bare flag, None and False are left out."""
    words: list[str] = []
    for name, value in settings.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words


def hold(core: int | None, pid: int = 0) -> None:
    """Keep a process, by default this one, on one core, if one is given and the process is still there."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {core})


def start(command: Sequence[str | Path], core: int | None = None, log: Path | None = None) -> subprocess.Popen[str]:
    """A process, held to one core where `core` is given, its output in `log` or nowhere."""
    out = log.open("w") if log else subprocess.DEVNULL
    words = [str(part) for part in command]
    try:
        return subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: hold(core))
    finally:
        if log:
            out.close()


def stop(process: subprocess.Popen[str]) -> None:
    """End the process, at once if need be."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(command: Sequence[str | Path], core: int | None = None, log: Path | None = None) -> Iterator[Any]:
    """A process for the length of a block."""
    process = start(command, core, log)
    try:
        yield process
    finally:
        stop(process)


def workers_command(port: int, **settings: Any) -> list[str | Path]:
    """The command line of mock workers from `port` on; settings: the options of workers.c."""
    return [program("workers"), *options({"port": port, **settings})]


@contextlib.contextmanager
def mock_workers(count: int, core: int | None = None, **settings: Any) -> Iterator[list[str]]:
    """`count` mock workers in one process for the length of a block; their URLs."""
    first = free_ports(count)
    with running(workers_command(first, count=count, **settings), core):
        urls = [f"http://127.0.0.1:{port}" for port in range(first, first + count)]
        wait_for(lambda: get(urls[-1] + "/health"), 5, "the mock workers")
        yield urls


def load(port: int, core: int | None = None, **settings: Any) -> Row:
    """Run the load generator to its end; the object it prints."""
    return finished_load(start_load(port, core, **settings))


def start_load(port: int, core: int | None = None, **settings: Any) -> "subprocess.Popen[str]":
    """The load generator as a running process, whose result `finished_load` waits for.

    settings: the options of load.c.
    """
    words = [str(program("load")), *options({"port": port, **settings})]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: hold(core))


def finished_load(process: "subprocess.Popen[str]") -> Row:
    """What the load generator printed. Raises BenchError when it failed."""
    out, _ = process.communicate()
    if process.returncode:
        raise BenchError(f"the load generator ended with exit code {process.returncode}")
    result: Row = json.loads(out)
    return result


def get(url: str, timeout_s: float = 2) -> bytes:
    """The body of a GET. Raises OSError when there is no answer with status 200."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        body: bytes = answer.read()
        return body


def stats(url: str) -> Row:
    """A mock worker's counters."""
    counters: Row = json.loads(get(url + "/stats"))
    return counters


def wait_for(attempt: Any, seconds: float, what: str) -> float:
    """Call `attempt` until it raises no OSError and does not answer False; seconds it took.

    Raises BenchError after `seconds`.
    """
    began = time.monotonic()
    while True:
        try:
            if attempt() is not False:
                return time.monotonic() - began
        except OSError:
            pass
        if time.monotonic() - began > seconds:
            raise BenchError(f"{what}: not ready within {seconds:g} s")
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """The process and all its descendants that live now."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def threads_s(pid: int, *, alone: bool = False) -> dict[int, tuple[float, float]]:
    """By thread of the process and, but for `alone`, its children that live: seconds that it has run, and waited."""
    seconds = {}
    for one in [pid] if alone else family(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):
                ran, waited = (task / "schedstat").read_text().split()[:2]
                seconds[int(task.name)] = int(ran) / 1e9, int(waited) / 1e9
    return seconds


def cpu_s(pid: int, *, alone: bool = False) -> float:
    """CPU seconds that the process and, but for `alone`, its children that live have taken, to the nanosecond."""
    return sum(ran for ran, _ in threads_s(pid, alone=alone).values())


def waited_s(pid: int, before: dict[int, tuple[float, float]]) -> float:
    """Seconds that the thread which ran most since `before` (of `threads_s`) waited for a core meanwhile."""
    spent = {
        task: (ran - before[task][0], waited - before[task][1])
        for task, (ran, waited) in threads_s(pid).items()
        if task in before
    }
    return max(spent.values(), default=(0.0, 0.0))[1]


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants."""
    pages = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
