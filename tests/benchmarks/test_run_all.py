"""Every benchmark runs to its end, however small, and the table says of each what it found."""

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import run_all
from made_logs import run_of, write_log
from promises import Promise, at_least, at_most, conclude, holds, under
from rich.console import Console
from router.programs import compiler

from shadowprice.fleet import read_fleet
from shadowprice.workload import PRESETS, write_trace

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Sequence[str]] = {
    "import_time": ("--starts", "1"),
    "cold_start": ("--caches", ""),
    "simulator_speed": ("memory", "--requests", "20", "--many", "20"),
    "audit_speed": ("TRACE", "--many", "50"),
    "published_study": ("--instances", "1", "--seconds-per-instance", "0.02", "--processes", "1"),
    "fidelity": ("LOG",),
    "expert_dispatch": ("kernel", "--instances", "1"),
    "routing_decision": ("--repeats", "1"),
    "routing_speed": ("--requests", "20000", "--engine-requests", "50", "--policies", "least_kv"),
    "routing_auto": ("--requests", "2000", "--ranks", "4"),
    "router_cost": ("small", "-k", "1", "--seconds", "0.1", "--routers", "ours round_robin", "--quiet-only"),
    "router_quality": ("load90", "--seconds", "8", "--routers", "ours round_robin", "--trace", "TRACE"),
    "router_faults": ("abandoned", "--routers", "ours round_robin"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small trace and a small measured log."""
    folder = tmp_path_factory.mktemp("files")
    write_trace(PRESETS["azure-conv-like"](np.random.default_rng(0), requests=5000), folder / "trace.csv")
    log = write_log(run_of(read_fleet("llama-3.1-8b-h100").worker), folder / "log.jsonl")
    return {"TRACE": str(folder / "trace.csv"), "LOG": str(log)}


def test_all_of_them_are_tried_here_and_are_what_make_bench_runs() -> None:
    assert set(SMALL) == set(run_all.PROGRAMS)
    assert "benchmarks/run_all.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SMALL)
def test_it_runs_to_its_end_and_says_what_it_found(name: str, files: dict[str, str]) -> None:
    if name.startswith("router_") and compiler() is None:
        pytest.skip("needs a C compiler")
    done = run_all.run(name, [files.get(argument, argument) for argument in SMALL[name]])
    assert not done.failed
    assert done.promises


LIBRARY = {"promises", "chat_trace", "run_all"}
OTHERS = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - LIBRARY - set(run_all.PROGRAMS))


@pytest.mark.parametrize("name", OTHERS)
def test_those_that_are_run_by_hand_say_how(name: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "torch is not installed" in done.stderr:
        pytest.skip("needs torch")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


def program(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n{source}")


def test_one_that_fails_stops_no_other_and_is_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "good", "from promises import *\nsys.exit(conclude([at_most('speed', 2, 4, 's')]))")
    program(tmp_path, "missing_it", "from promises import *\nsys.exit(conclude([at_least('speed', 2, 4)]))")
    program(tmp_path, "broken", "from promises import *\nconclude([holds('it', True)])\nraise SystemExit(3)")
    program(tmp_path, "silent", "")
    program(tmp_path, "endless", "import time\ntime.sleep(60)")
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    monkeypatch.setattr(run_all, "LIMIT_S", 2.0)
    monkeypatch.setattr(run_all, "PROGRAMS", dict.fromkeys(("broken", "silent", "endless", "missing_it", "good"), ()))
    assert run_all.main([]) == 1
    table = capfd.readouterr().out.split("benchmarks in ")[1]
    for row in (
        r"broken \(.*it +yes +yes +held",
        r"failed: exit code 3 +FAILED",
        r"silent .*failed: exit code 0 +FAILED",
        r"endless .*failed: stopped after 2 s +FAILED",
        r"missing_it .*speed +2 +at least 4 +0.50 +MISSED",
        r"good .*speed +2 s +at most 4 s +0.50 +held",
    ):
        assert re.search(row, table), row
    assert run_all.main(["good"]) == 0
    assert run_all.main(["pears"]) == 2


def test_what_could_not_be_run_is_said_and_breaks_no_promise(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude([at_least("times as fast as a peer", "not installed", 10.0), holds("it answers", True)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "not run times as fast as a peer: not installed, target at least 10",
        "held    it answers: yes, target yes",
    ]


@pytest.mark.parametrize(
    ("promise", "held"),
    [
        (at_most("", 2, 2), True),
        (at_most("", 2.1, 2), False),
        (at_least("", 2, 2), True),
        (at_least("", 1.9, 2), False),
        (under("", 1.9, 2), True),
        (under("", 2, 2), False),
    ],
)
def test_a_target_is_met_at_its_value_and_not_beyond_or_only_under_it(promise: Promise, held: bool) -> None:
    assert promise.held is held
    assert conclude([promise], quiet=True) == (not held)


def test_the_table_is_wide_enough_for_every_promise() -> None:
    done = run_all.Done("router_faults", 1.0, [holds("ours bf_io " + "x" * 60, False)])
    out = io.StringIO()
    Console(width=140, file=out).print(run_all.table_of([done]))
    assert "x" * 60 in out.getvalue()
