"""What the documents promise: links resolve, Python runs as printed, commands and flags exist, numbers are today's."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from shadowprice.cli import app
from shadowprice.workload import PRESETS, write_trace

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
COMMAND = re.compile(r"(?:^(?:    )?(?:\$ )?|`)shadowprice ([a-z-](?:[^\n\\`]|\\\n)*)", re.MULTILINE)
FLAG = re.compile(r"(?<![^\s\[])--?[a-z][a-z0-9-]*")
RUNNABLE = [  # those that stand alone; the others continue a program of the reader's
    ("README.md", 0),
    ("docs/audit.md", 0),
    ("docs/disaggregation.md", 0),
    ("docs/fleet.md", 0),
    ("docs/routing.md", 0),
    ("docs/routing.md", 1),
    ("docs/routing.md", 2),
    ("docs/scheduling.md", 0),
    ("docs/scheduling.md", 1),
    ("docs/scheduling-rounds.md", 0),
    ("docs/workload.md", 0),
    ("docs/workload.md", 1),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_resolve(path: Path) -> None:
    for target in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize(("name", "block"), RUNNABLE)
def test_python_runs_as_printed(name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file `requests.csv` beside it, as the documents assume."""
    monkeypatch.chdir(tmp_path)
    write_trace(PRESETS["azure-conv-like"](np.random.default_rng(0), requests=50), tmp_path / "requests.csv")
    code = PYTHON.findall((ROOT / name).read_text(encoding="utf-8"))[block]
    exec(compile(code, f"{name}, block {block}", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_name_verbs_and_flags_that_there_are(path: Path) -> None:
    for line in COMMAND.findall(path.read_text(encoding="utf-8")):
        words = line.split("#")[0].split()
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands") and words and not words[0].startswith("--"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
        assert set(FLAG.findall(" ".join(words))) <= known, line


def test_the_readme_prints_what_make_audit_prints() -> None:
    printed = re.search(r"^What `make audit` prints:\n\n```\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert printed is not None
    done = subprocess.run(
        [sys.executable, "-m", "shadowprice.cli", "audit"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.strip().splitlines()] == printed[1].rstrip().splitlines()
