"""shadowprice audit on the command line."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shadowprice.cli import app, main
from shadowprice.fleet import GPUS, write_fleet
from shadowprice.fleet.model_presets import MODELS
from shadowprice.workload import write_trace
from tests.audit.small_cases import small_fleet, small_trace

SHADOWPRICE = [sys.executable, "-c", "from shadowprice.cli import main; main()"]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "small.csv"
    write_trace(small_trace(), path)
    return str(path)


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    path = tmp_path / "fleet.toml"
    write_fleet(small_fleet(), path)
    return str(path)


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result.stdout


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run through `main`; exit code 2 and nothing on stdout are required. What it says on stderr."""
    monkeypatch.setattr(sys, "argv", ["shadowprice", "audit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 2 and said.out == ""
    return said.err


def test_the_table_names_trace_fleet_load_and_policies(trace: str, fleet: str) -> None:
    text = run(trace, "--fleet", fleet, "--load", "0.5,1.0")
    for words in ("small", "load 0.50", "load 1.00", "fcfs (today)", "priced_work", "bound", "gap", "->"):
        assert words in text


def test_json_is_one_object_and_nothing_else(trace: str, fleet: str) -> None:
    done = subprocess.run(
        [*SHADOWPRICE, "audit", trace, "--fleet", fleet, "--load", "1.0", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert set(result) == {"trace", "fleet", "options", "certificates"} and done.stdout.count("\n") == 1
    assert done.stderr == ""  # no terminal, no progress


def test_without_arguments_a_built_in_pair_is_used_and_named() -> None:
    text = run()
    assert "azure-conv-like" in text and "llama-3.1-8b-h100" in text and "load 1.00" in text


def test_built_in_pair_has_a_queue_that_matters() -> None:
    rows = {c["policy"]: c for c in json.loads(run("--json"))["certificates"] if c["decision"] == "scheduling"}
    assert rows["priced_work"]["value"] < 0.5 * rows["fcfs"]["value"]


def test_a_fleet_overloaded_by_the_trace_as_it_runs_is_exit_code_1(trace: str, tmp_path: Path, fleet: str) -> None:
    assert "overloaded" not in run(trace, "--fleet", fleet)
    fast = tmp_path / "fast.csv"
    write_trace(small_trace(rate_per_s=1000.0), fast)
    assert "overloaded" in run(str(fast), "--fleet", fleet, exit_code=1)
    assert json.loads(run(str(fast), "--fleet", fleet, "--json", exit_code=1))["certificates"][0]["load"] > 1
    run(str(fast), "--fleet", fleet, "--load", "1.5")  # asked for: the answer is what was asked


def test_the_seed_makes_the_built_in_trace() -> None:
    def value(seed: str) -> float:
        return json.loads(run("--json", "--seed", seed))["certificates"][0]["value"]

    assert value("1") == value("1") != value("2")


def test_a_worse_forecast_changes_the_value_and_is_said(trace: str, fleet: str) -> None:
    def priced(*options: str) -> dict[str, object]:
        rows = json.loads(run(trace, "--fleet", fleet, "--load", "1.5", "--json", *options))["certificates"]
        return next(row for row in rows if row["policy"] == "priced_work")

    exact, noisy = priced(), priced("--predict", "noisy:1.5")
    assert exact["value"] != noisy["value"] and exact["bound"] == noisy["bound"]
    assert "forecast" in str(noisy["model"])


def test_max_wait_names_the_row(trace: str, fleet: str) -> None:
    assert "priced_work, max wait 3.00 s" in run(trace, "--fleet", fleet, "--max-wait", "3")


def test_oversized_requests_are_an_error_until_dropped(
    trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tight.toml"
    write_fleet(small_fleet(kv_tokens=128), path)
    assert "--drop-oversized" in fail(capsys, monkeypatch, trace, "--fleet", str(path))
    assert "requests dropped" in run(trace, "--fleet", str(path), "--drop-oversized")


def test_skipped_rows_are_counted(
    trace: str, fleet: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(trace, "a") as file:
        file.write("999,0,5\n")
    assert "small.csv:62" in fail(capsys, monkeypatch, trace, "--fleet", fleet)
    assert json.loads(run(trace, "--fleet", fleet, "--skip-bad-rows", "--json"))["trace"]["skipped_rows"] == 1


def test_expert_loads_are_certified_on_the_fleets_gpus_or_those_asked_for(trace: str, tmp_path: Path) -> None:
    counts, path = tmp_path / "counts.npy", tmp_path / "four.toml"
    np.save(counts, np.random.default_rng(0).integers(1, 99, (6, 2, 16)))
    write_fleet(small_fleet(workers=4), path)

    def models(*options: str) -> list[str]:
        rows = json.loads(run(trace, "--experts", str(counts), "--json", *options))["certificates"]
        return [row["model"] for row in rows if row["decision"] == "expert placement"]

    assert all(f"{counts}: 2 layers, 16 experts, 4 GPUs" in model for model in models("--fleet", str(path)))
    assert all("2 GPUs" in model for model in models("--fleet", str(path), "--expert-gpus", "2", "--redundant", "2"))
    assert len(models()) == 4 and all("8 GPUs" in model for model in models())


def test_expert_loads_are_certified_by_seconds_of_the_fleets_model(trace: str, tmp_path: Path) -> None:
    counts, path = tmp_path / "counts.npy", tmp_path / "moe.toml"
    np.save(counts, np.random.default_rng(0).integers(1, 99, (6, 2, 16)))
    write_fleet(replace(small_fleet(workers=4), gpu=GPUS["H100"], model=MODELS["gpt-oss-20b"]), path)
    found = json.loads(run(trace, "--fleet", str(path), "--experts", str(counts), "--cost", "seconds", "--json"))
    rows = [row for row in found["certificates"] if row["decision"].startswith("expert")]
    assert {row["unit"] for row in rows} == {"mean GPU times"} and all(row["gap"] >= 0 for row in rows)
    assert [row["policy"] for row in rows[-4:]] == ["even", "random", "tokens", "optimal"]
    assert found["options"]["experts"]["cost"]["tile_rows"] == 64


def test_report_writes_the_page_beside_the_table(trace: str, fleet: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert "fcfs" in run(trace, "--fleet", fleet, "--report", str(page))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.csv"], "no-such-file.csv"),
        (["TRACE", "--fleet", "no-such-fleet"], "no-such-fleet"),
        (["TRACE", "--load", "0.7,x"], "0.7,x"),
        (["TRACE", "--load", ""], "expected numbers"),
        (["TRACE", "--load", "0"], "the load is 0"),
        (["TRACE", "--load", "nan"], "the load is nan"),
        (["TRACE", "--max-wait", "-1"], "max_wait_s is -1"),
        (["TRACE", "--max-wait", "soon"], "--max-wait"),
        (["TRACE", "--predict", "oracle"], "oracle"),
        (["TRACE", "--predict", "noisy:-2"], "sigma"),
        (["TRACE", "--seed", "-1"], "seed"),
        (["TRACE", "--experts", "no-such-loads"], "no-such-loads"),
        (["TRACE", "--experts", "zipf", "--expert-gpus", "0"], "expert-gpus"),
        (["TRACE", "--expert-gpus", "4"], "given without --experts"),
        (["TRACE", "--cost", "seconds"], "given without --experts"),
        (["TRACE", "--experts", "zipf", "--cost", "seconds"], "llama-3.1-8b-h100: serves no model with experts"),
        (["TRACE", "--ttft", "1"], "takes 2 workers or more; llama-3.1-8b-h100 has 1"),
        (["TRACE", "--no-such-option"], "no-such-option"),
        (["TRACE", "EXTRA"], "EXTRA"),
        (["EMPTY"], "empty.csv"),
    ],
)
def test_bad_input_is_exit_code_2_and_says_what(
    arguments: list[str],
    said: str,
    trace: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty.csv").write_text("")
    files = {"TRACE": trace, "EMPTY": str(tmp_path / "empty.csv")}
    assert said in fail(capsys, monkeypatch, *(files.get(argument, argument) for argument in arguments))


def test_an_unwritable_page_is_exit_code_2(trace: str, fleet: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*SHADOWPRICE, "audit", trace, "--fleet", fleet, "--report", str(tmp_path / "missing" / "page.html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "cannot be written" in done.stderr and done.stdout == ""  # said before the work


def test_help_says_exit_codes_and_examples() -> None:
    text = run("--help")
    assert "Exit codes" in text and "--load" in text
