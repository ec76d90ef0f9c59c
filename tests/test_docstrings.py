"""What the door shows is documented in numpydoc sections that match the code, and its examples run."""

import doctest
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpydoc.validate import validate

import shadowprice
from shadowprice.verb import Verb
from shadowprice.workload import PRESETS, write_trace

# What is not asked for: an extended summary, "see also" and an example everywhere, the summary on a line of its own.
NOT_ASKED = {"ES01", "SA01", "EX01", "GL01"}


def shown() -> dict[str, Any]:
    """Functions and classes of the door by the full name of their home; verbs are their functions."""
    things = [getattr(shadowprice, name) for name in shadowprice.__all__]
    things = [thing.__wrapped__ if isinstance(thing, Verb) else thing for thing in things]
    return {
        f"{thing.__module__}.{thing.__qualname__}": thing for thing in things if not isinstance(thing, str | ModuleType)
    }


SHOWN = shown()
EXAMPLES = doctest.DocTestFinder(recurse=False)
WITH_EXAMPLES = [name for name, thing in SHOWN.items() if ">>>" in (inspect.getdoc(thing) or "")]


@pytest.mark.parametrize("name", SHOWN)
def test_sections_match_the_code(name: str) -> None:
    errors = [error for error in validate(name)["errors"] if error[0] not in NOT_ASKED]
    assert not errors


@pytest.mark.parametrize("name", [name for name, thing in SHOWN.items() if inspect.isfunction(thing)])
def test_functions_say_what_they_raise(name: str) -> None:
    assert "Raises\n------\n" in (inspect.getdoc(SHOWN[name]) or "")


@pytest.mark.parametrize("name", ["shadowprice", *WITH_EXAMPLES])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file `requests.csv` of fifty requests beside them, as the documents assume."""
    monkeypatch.chdir(tmp_path)
    write_trace(PRESETS["azure-conv-like"](np.random.default_rng(0), requests=50), tmp_path / "requests.csv")
    told: list[str] = []
    runner = doctest.DocTestRunner()
    for example in EXAMPLES.find(SHOWN.get(name, shadowprice), name, globs={}):
        runner.run(example, out=told.append)
    assert runner.summarize(verbose=False).attempted > 0
    assert not told, "".join(told)
