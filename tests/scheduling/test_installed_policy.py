"""A policy from another package: installed, it is a row of the audit and a name on every command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shadowprice.scheduling import POLICIES
from tests.outsider import install

SOURCE = """
from shadowprice.scheduling import Ranked

def longest_prompt():
    return Ranked("longest_prompt", lambda requests, worker: -1.0 * requests.prompt_tokens, words="the longest first")
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("outsider"), "shadowprice.scheduling", "longest_prompt", SOURCE)


def shadowprice(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(target), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "shadowprice.cli", *arguments]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


def test_an_installed_policy_is_audited_beside_the_built_in_ones(target: Path, tmp_path: Path) -> None:
    trace = tmp_path / "requests.csv"
    rows = [f"{0.01 * i},{50 + 37 * i % 900},{1 + 13 * i % 90}" for i in range(200)]
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    done = shadowprice(target, "audit", str(trace), "--fleet", "llama-3.1-8b-h100", "--load", "20", "--json")
    assert done.returncode in (0, 1), done.stderr
    certificates = json.loads(done.stdout)["certificates"]
    values = {c["policy"]: c["value"] for c in certificates if c["decision"] == "scheduling"}
    assert values["longest_prompt"] > values["shortest_prompt"]
    ours = [name for name in POLICIES if name in values]
    assert list(values)[:-1] == [*ours, "longest_prompt"]  # and last the row with a bound on waiting


def test_an_unknown_name_is_answered_with_the_installed_ones_too(target: Path, tmp_path: Path) -> None:
    trace = tmp_path / "requests.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,5\n1,10,5\n")
    command = ["plan", str(trace), "--fleet", "llama-3.1-8b-h100", "--scheduling"]
    done = shadowprice(target, *command, "longest_promt")
    assert done.returncode == 2
    assert "longest_prompt" in done.stderr
