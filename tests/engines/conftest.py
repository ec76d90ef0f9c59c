"""What the tests against real engines share: the Python of the engine environment, and a tiny model."""

from pathlib import Path

import pytest
from ask_engine import ask_engine

ENVIRONMENT = Path(__file__).parents[2] / ".venv-engines"


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The Python of the engine environment; without it the tests are skipped."""
    if not (ENVIRONMENT / "installed").exists():
        pytest.skip("the engine environment .venv-engines is absent; `make test-engines` builds it (3.5 GB)")
    return ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="session")
def tiny_model(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama and a tokenizer, made here."""
    folder = tmp_path_factory.mktemp("tiny")
    ask_engine([engine_python, Path(__file__).with_name("make_tiny_model.py"), folder])
    return folder
