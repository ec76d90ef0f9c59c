"""The dispatch benchmark runs, and the kernel agrees with a persistent HiGHS model on what it measures."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "expert_dispatch.py"


def test_kernel_agrees_with_the_persistent_model() -> None:
    command = [sys.executable, str(SCRIPT), "kernel", "--instances", "5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["kernel"]
    assert {row["edges"] for row in rows} >= {24, 256}
    for row in rows:
        assert row["largest_difference"] <= 1e-9
        assert row["max_over_mean_after"] <= row["max_over_mean_before"]
