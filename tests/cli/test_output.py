"""Results are printed whole, and files are tried before the work."""

from pathlib import Path

import pytest
from rich.table import Table

from shadowprice.cli.output import check_writable, show
from shadowprice.errors import ShadowpriceError

WORDS = "a_long_name of_two_words"


def wide_table() -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("policy", "value [s]", "mean latency"):
        table.add_column(head, no_wrap=head != "mean latency")
    table.add_row(WORDS, "12,345.6 (12,000-13,000)", "0.123")
    return table


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_a_table_loses_nothing_however_narrow_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    show(wide_table())
    printed = capsys.readouterr().out
    for cell in ("value [s]", WORDS, "12,345.6 (12,000-13,000)", "0.123"):
        assert cell in printed


def test_heads_wrap_before_a_table_outgrows_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    show(wide_table())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_text_wraps_and_brackets_stay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    show("a [red] trace of [s] and [/b] that is longer than the terminal is wide")
    printed = capsys.readouterr().out
    assert "[red]" in printed and "[s]" in printed and "[/b]" in printed and printed.count("\n") > 1


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "new.json", (".json",))
    (tmp_path / "there.json").touch()
    check_writable(tmp_path / "there.json")
    with pytest.raises(ShadowpriceError, match="it is a directory"):
        check_writable(tmp_path)
    with pytest.raises(ShadowpriceError, match="no directory"):
        check_writable(tmp_path / "missing" / "page.html")
    with pytest.raises(ShadowpriceError, match=r"a name that ends in \.svg, \.png"):
        check_writable(tmp_path / "map.foo", (".svg", ".png"))
