"""All benchmarks one after the other, and one table of what they promise: `make bench`, at most 40 minutes on 2 cores.

    .venv/bin/python benchmarks/run_all.py                     all
    .venv/bin/python benchmarks/run_all.py audit_speed fidelity   two of them

One that fails or takes longer than its share does not stop the others. Exit code 1 when one failed or missed a target.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promises import NOTE, Promise
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
LIMIT_S = 900.0
PROGRAMS: dict[str, Sequence[str]] = {
    "import_time": (),
    "cold_start": (),
    "simulator_speed": (),
    "audit_speed": (),
    "published_study": ("--seconds-per-instance", "1.5"),
    "fidelity": (),
    "expert_dispatch": (),
    "routing_decision": (),
    "routing_speed": (),
    "routing_auto": (),
    "router_cost": ("-k", "2"),
    "router_quality": ("--seconds", "20"),
    "router_faults": ("--routers", "ours bf_io,vllm-router round_robin"),
}


@dataclass
class Done:
    """How one benchmark went; failed: why, where it did not come to its end."""

    name: str
    seconds: float
    promises: list[Promise] = field(default_factory=list)
    failed: str = ""


def run(name: str, arguments: Sequence[str]) -> Done:
    """Run one to its end, its output passed on; it has not come there if it noted nothing."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        note = Path(scratch) / "promises"
        note.touch()
        command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
        try:
            code: int | None = subprocess.run(command, env=os.environ | {NOTE: str(note)}, timeout=LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            code = None
        promises = [Promise(**json.loads(line)) for line in note.read_text(encoding="utf-8").splitlines()]
    failed = "" if promises and code in (0, 1) else f"failed: exit code {code}"
    if code is None:
        failed = f"failed: stopped after {LIMIT_S:g} s"
    return Done(name, time.monotonic() - began, promises, failed)


def table_of(runs: Sequence[Done]) -> Table:
    """A row for each promise, and for each benchmark that failed."""
    minutes = sum(done.seconds for done in runs) / 60
    table = Table(title=f"{len(runs)} benchmarks in {minutes:.1f} minutes", title_justify="left", box=None)
    for heading in ("benchmark", "promise", "found", "target", "ratio", "verdict"):
        table.add_column(heading, justify="right" if heading in ("found", "ratio") else "left", overflow="fold")
    for done in runs:
        name = f"{done.name} ({done.seconds:.0f} s)"
        for promise in done.promises:
            texts = (promise.what, promise.found_text, promise.target_text, promise.ratio_text, promise.verdict)
            table.add_row(name, *texts)
            name = ""
        if done.failed:
            table.add_row(name, done.failed, "", "", "", "FAILED")
    return table


def exit_code(runs: Sequence[Done]) -> int:
    return int(any(done.failed or any(promise.held is False for promise in done.promises) for done in runs))


def main(names: Sequence[str]) -> int:
    """Run those named, or all, and print the table; what is done by then also after Ctrl-C."""
    if unknown := set(names) - set(PROGRAMS):
        print(f"unknown benchmark {', '.join(sorted(unknown))}; expected {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    runs: list[Done] = []
    try:
        for name in names or PROGRAMS:
            print(f"\n== {name} {' '.join(PROGRAMS[name])}", flush=True)
            runs.append(run(name, PROGRAMS[name]))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    console = Console(width=max(140, Console().width), markup=False, highlight=False)
    console.print("", table_of(runs))
    return exit_code(runs) if len(runs) == len(names or PROGRAMS) else 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
