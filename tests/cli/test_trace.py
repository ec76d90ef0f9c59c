import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shadowprice.cli import app

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46,374,44
2023-11-16 18:15:50,396,0
2023-11-16 18:15:51,8,5
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["trace", *map(str, arguments)])


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text(AZURE)
    return path


def test_describe_prints_a_table(azure):
    result = run("describe", azure, "--skip-bad-rows")
    assert result.exit_code == 0
    for text in ("requests", "skipped rows", "prompt tokens", "mean 191.0"):
        assert text in result.stdout


def test_describe_json_is_one_object(azure):
    result = run("describe", azure, "--skip-bad-rows", "--json")
    statistics = json.loads(result.stdout)
    assert statistics["requests"] == 2 and statistics["skipped_rows"] == 1
    assert set(statistics["prompt_tokens"]) == {"mean", "p50", "p90", "p99", "max"}


def test_a_bad_row_ends_with_one_line_and_exit_code_2(azure):
    command = [sys.executable, "-c", "from shadowprice.cli import main; main()", "trace", "describe", str(azure)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stdout == ""
    assert (
        result.stderr.startswith(f"error: {azure}:3: GeneratedTokens is 0; expected") and result.stderr.count("\n") == 1
    )


@pytest.mark.parametrize("name", ["made.csv", "made.jsonl.zst", "made.parquet"])
def test_make_writes_what_describe_reads(tmp_path, name):
    path = tmp_path / name
    result = run("make", "azure-conv-like", "--requests", 500, "--rate", 2, "--seed", 3, "-o", path, "--json")
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert made.pop("file") == str(path)
    described = json.loads(run("describe", path, "--json").stdout)
    assert described | {"name": ""} == made | {"name": ""}
    assert made["requests"] == 500


def test_make_follows_the_seed(tmp_path):
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        assert run("make", "reasoning-like", "--duration", 60, "--seed", seed, "-o", tmp_path / name).exit_code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.csv", "b.csv", "c.csv"))
    assert a == b != c


def test_make_without_options_writes_10000_requests_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "10,000 requests" in run("make", "azure-code-like").stdout
    assert (tmp_path / "azure-code-like.csv").exists()


def test_a_rate_of_zero_is_not_the_default_rate(tmp_path):
    result = run("make", "azure-code-like", "--rate", 0, "-o", tmp_path / "a.csv")
    assert "the rate is 0.0 requests/s; expected a number > 0" in str(result.exception)


def test_a_trace_keeps_the_dots_of_its_file(azure):
    name = azure.with_name("day.llama-3.1-8B.csv")
    azure.rename(name)
    assert json.loads(run("describe", name, "--skip-bad-rows", "--json").stdout)["name"] == "day.llama-3.1-8B"


def test_list_names_presets_and_public_traces():
    assert "azure-conv-like" in run("list").stdout and "azure-2023-conv" in run("list").stdout
    listed = json.loads(run("list", "--json").stdout)
    assert listed["public_traces"]["azure-2023-conv"]["licence"] == "CC-BY-4.0"
    assert "Chat" in listed["presets"]["azure-conv-like"]


def test_unknown_presets_are_errors_that_list_the_known():
    result = run("make", "azure-conv-lik")
    assert "did you mean 'azure-conv-like'? accepted: " in str(result.exception)


def test_help_has_examples_and_does_not_load_the_library():
    assert "Examples" in run("describe", "--help").stdout and "Examples" in run("make", "--help").stdout
    check = "import sys, shadowprice.cli.trace; print('pyarrow' in sys.modules, 'shadowprice.workload' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.split()[0] == "False"


@pytest.mark.parametrize("verb", [["trace", "describe"], ["plan"], ["bench", "routing"], ["disaggregate"], ["audit"]])
def test_every_verb_that_reads_a_trace_takes_columns_and_block_tokens(verb: list[str]) -> None:
    help_text = CliRunner().invoke(app, [*verb, "--help"]).stdout
    assert "--columns" in help_text and "--block-tokens" in help_text


def test_given_columns_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("sent_ms,asked,made\n" + "".join(f"{250 * k},100,20\n" for k in range(40)))
    result = run("describe", path, "--columns", "arrival=sent_ms,prompt=asked,output=made", "--json")
    assert json.loads(result.stdout)["rate_per_s"] == 4.0


def test_dropping_in_bulk_is_said_on_stderr(azure: Path) -> None:
    result = run("describe", azure, "--skip-bad-rows", "--json")
    assert "WARNING: 1 of 3 rows (33 %) could not be used and were dropped" in result.stderr
