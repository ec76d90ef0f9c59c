"""What the tests against real engines share: where the engine environment is, and the plain-Python twin."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "differential"))


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The Python of the engine environment; without it the tests are skipped."""
    python = ROOT / ".venv-engines" / "bin" / "python"
    if not (ROOT / ".venv-engines" / "installed").exists():
        pytest.skip("the engine environment .venv-engines is absent; `make test-engines` builds it (3.5 GB)")
    return python
