"""The speed benchmark runs, and simulators written by others agree with ours on what they simulate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "simulator_speed.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


def test_peers_agree_with_ours_or_are_said_to_be_missing() -> None:
    done = run("peers", "memory", "-k", "1", "--requests", "200", "--many", "200", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 < result["memory"]["peak_bytes"] < 2 * 2**30
    ours, *peers = result["peers"]
    assert ours["requests"] == 200
    assert len(peers) == 2
    for peer in peers:
        if "error" in peer:
            assert peer["error"].startswith("not installed: run")
        else:
            assert peer["simulated_mean_e2e_s"] == pytest.approx(ours["simulated_mean_e2e_s"], rel=1e-3)


def test_an_unknown_part_is_refused_by_name() -> None:
    done = run("pears")
    assert done.returncode == 2
    assert "pears" in done.stderr
