"""shadowprice plan on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.workload import write_trace
from tests.plan.plan_cases import chat


def ask(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plan") / "chat.csv"
    write_trace(chat(3000, 20.0), path)
    return str(path)


def test_help_has_examples() -> None:
    text = ask("--help").output
    assert "--ttft-p99" in text and "Examples" in text


def test_json_is_one_object_on_stdout(trace: str) -> None:
    result = ask(trace, "--ttft-p99", "1.0", "--tpot-p99", "0.05", "--usd-per-gpu-hour", "2", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["workers"]["stable"] == 1 and found["workers"]["slo"] >= 1
    assert found["at"][0]["cost_per_mtok"]["value"] > 0


def test_rate_rescales_the_trace(trace: str) -> None:
    found = json.loads(ask(trace, "--rate", "100", "--json").stdout)
    assert found["stability"]["rate_per_s"] == pytest.approx(100) and found["workers"]["stable"] == 5


def test_impossible_targets_are_exit_code_1_with_the_reason(trace: str) -> None:
    result = ask(trace, "--ttft-p99", "0.001")
    assert result.exit_code == 1
    assert "impossible at any size, because" in " ".join(result.stdout.split())


def test_a_short_trace_is_exit_code_1_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    write_trace(chat(50, 20.0), path)
    result = ask(str(path), "--ttft-p99", "1")
    assert result.exit_code == 1 and "too short to judge" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scheduling", "fcsf"], "did you mean 'fcfs'"),
        (["--routing", "nobody"], "unknown routing policy"),
        (["--backend", "spark", "--ttft-p99", "1"], "accepted: loky, ray, dask"),
        (["--ttft-p99", "-1"], "a number of seconds > 0"),
        (["--jobs", "0", "--ttft-p99", "1"], "jobs is 0; expected -1 for all cores, or 1 and more"),
        (["--fleet", "nothing.toml"], "neither a file nor a preset"),
        (["--rate", "0"], "--rate is 0; expected a number of requests per second > 0"),
        (["--autoscale", "--period", "1000"], "at least four periods of 1000 s"),
        (["--fleet", "llama-3.1-8b-h100", "--fleet", "llama-3.1-8b-l40s"], "expected usd_per_hour under [gpu]"),
        (["--fleet", "llama-3.1-8b-h100", "--fleet", "llama-3.1-8b-l40s", "--autoscale"], "expected one --fleet"),
        (["--fleet", "llama-3.1-8b-h100", "--fleet", "llama-3.1-8b-l40s", "--routing", "random"], "expected one --fl"),
    ],
)
def test_bad_options_are_named(trace: str, arguments: list[str], message: str) -> None:
    result = ask(trace, *arguments)
    assert message in str(result.exception)


def test_units_stand_in_the_heads_and_policies_may_have_hyphens(trace: str) -> None:
    result = ask(trace, "--scheduling", "priced-work", "--routing", "least-kv")
    assert result.exit_code == 0 and "p99 TTFT [s]" in result.stdout and "p99 TPOT [ms]" in result.stdout


def test_an_empty_name_is_no_trace_and_a_negative_seed_no_seed(trace: str) -> None:
    assert "the name of the trace is empty" in str(ask("").exception)
    assert ask(trace, "--seed", "-1").exit_code == 2


def test_autoscale_and_mix_are_printed(trace: str) -> None:
    scaled = json.loads(ask(trace, "--ttft-p99", "1", "--autoscale", "--period", "30", "--json").stdout)
    assert scaled["autoscale"]["planned"]["meets"]
    mixed = ask(
        trace,
        "--fleet",
        "llama-3.1-8b-h100",
        "--fleet",
        "llama-3.1-8b-l40s",
        "--usd-per-gpu-hour",
        "2",
        "--ttft-p99",
        "2",
    )
    assert mixed.exit_code == 0 and "no fleet of these kinds is stable below" in mixed.stdout
