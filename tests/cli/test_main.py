"""What holds for every verb: its help is whole at any width, and every end has a clear line and the right exit code."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import shadowprice.cli
from shadowprice.cli import app, main
from shadowprice.errors import ShadowpriceError


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or typer.main.get_command(app)
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


VERBS = list(verbs())


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize(("path", "command"), VERBS, ids=["-".join(path) for path, _ in VERBS])
def test_help_cuts_no_flag_and_no_example(path: tuple[str, ...], command: Any, columns: str) -> None:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": columns})
    assert done.exit_code == 0
    for option in command.params:
        if option.param_type_name == "option":
            for flag in option.opts + option.secondary_opts:
                assert flag in done.output
    examples = [line for line in command.epilog.splitlines() if line.startswith("shadowprice ")]
    assert examples or command.epilog.startswith("Example: shadowprice ")
    assert all(example in done.output for example in examples)


def test_brackets_in_help_are_no_markup() -> None:
    assert "token [s]" in CliRunner().invoke(app, ["audit", "--help"]).output


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0 and done.output == f"shadowprice {shadowprice.__version__}\n"


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int | str | None:
    """Exit code of a command line in which this was raised."""

    def fails() -> None:
        raise error

    monkeypatch.setattr(shadowprice.cli, "app", fails)
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(130), caused_by(SystemError("returned a result"), KeyboardInterrupt())],
    ids=["before the verb", "in the verb", "in a kernel"],
)
def test_an_interrupt_is_exit_code_130_and_a_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, error) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ShadowpriceError("no folder for compiled kernels; set NUMBA_CACHE_DIR"), "set NUMBA_CACHE_DIR"),
    ],
    ids=["disk full", "no folder for kernels"],
)
def test_what_the_machine_lacks_is_exit_code_2_and_a_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, error) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and said in err and err.count("\n") == 1


@pytest.mark.parametrize("error", [SystemError("of its own"), RuntimeError("of its own")])
def test_mistakes_of_ours_are_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["shadowprice", "trace", "list"])

    def fails() -> None:
        raise error

    monkeypatch.setattr(shadowprice.cli, "app", fails)
    with pytest.raises(type(error), match="of its own"):
        main()
