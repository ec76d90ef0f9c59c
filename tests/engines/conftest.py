"""What the tests against real engines share: where the engine environment is, and the plain-Python twin."""

import subprocess
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


@pytest.fixture(scope="session")
def tiny_model(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama and a tokenizer, made here."""
    folder = tmp_path_factory.mktemp("tiny")
    ask_engine([engine_python, Path(__file__).with_name("make_tiny_model.py"), folder])
    return folder


def ask_engine(command: list[Path]) -> None:
    """Run a script in the engine environment; its complaint is the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
