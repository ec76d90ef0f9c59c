"""The tests of the split on tensors, run with the engine environment's torch where this environment has none."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SITES = sorted((HERE.parents[1] / ".venv-engines" / "lib").glob("python3*/site-packages"))

ENVIRONMENT = {"TRITON_INTERPRET": "1"}  # the GPU's kernel, on this CPU
RUN = """
import sys
sys.path.append(sys.argv.pop(1))  # behind our own packages: only what is missing here comes from there
import pytest
sys.exit(pytest.main([sys.argv[1], "-q", "-p", "no:cacheprovider", "-n0"]))
"""


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here: test_dispatch_torch runs by itself")
@pytest.mark.skipif(not SITES, reason="torch is optional, and .venv-engines is not set up (make test-engines)")
def test_split_on_tensors_passes_with_the_engines_torch() -> None:
    command = [sys.executable, "-c", RUN, str(SITES[0]), str(HERE / "test_dispatch_torch.py")]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, env=os.environ | ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " skipped" not in done.stdout
