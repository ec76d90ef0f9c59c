"""Runs a script in the engine environment."""

import subprocess
from pathlib import Path


def ask_engine(command: list[Path]) -> None:
    """Run it to its end; its complaint is the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
