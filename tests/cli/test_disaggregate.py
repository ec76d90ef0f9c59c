"""shadowprice disaggregate on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.workload import write_trace
from tests.plan.plan_cases import chat


def ask(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["disaggregate", *arguments])


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pools") / "chat.csv"
    write_trace(chat(1200, 20.0), path)
    return str(path)


def test_help_has_examples() -> None:
    text = ask("--help").output
    assert "--kv-bandwidth" in text and "Examples" in text


def test_json_is_one_object_on_stdout(trace: str) -> None:
    result = ask(trace, "--workers", "3", "--ttft", "0.3", "--tpot", "0.015", "--layerwise", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["workers"] == 3 and found["link"]["layers"] == 32
    assert {"together", "apart", "bound", "advice", "expected"} <= set(found)


def test_an_impossible_slo_is_exit_code_1_with_the_reason(trace: str) -> None:
    result = ask(trace, "--workers", "2", "--tpot", "0.001")
    assert result.exit_code == 1 and "impossible at any rate, because" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "1"], "1 worker cannot be split; expected 2 or more"),
        (["--attainment", "0"], "expected a share > 0"),
        (["--kv-bandwidth", "-3"], "expected a number > 0"),
        (["--scheduling", "fcsf"], "did you mean 'fcfs'"),
        (["--fleet", "nothing.toml"], "neither a file nor a preset"),
        (["--backend", "spark", "--workers", "2"], "accepted: loky, ray, dask"),
        (["--map", "map.foo"], "a name that ends in .svg"),
        (["--map", "nowhere/map.svg"], "no directory nowhere"),
    ],
)
def test_bad_options_are_named(trace: str, arguments: list[str], message: str) -> None:
    result = ask(trace, *arguments)
    assert message in str(result.exception)


def test_a_fleet_without_a_model_must_say_how_large_its_kv_is(trace: str, tmp_path: Path) -> None:
    fleet = tmp_path / "plain.toml"
    coefficients = "fixed_s = 0.006\nper_sequence_s = 1e-5\nper_kv_token_s = 4e-8\nper_prefill_token_s = 2e-5\n"
    fleet.write_text(f"[worker]\nkv_tokens = 200000\n[step_time]\n{coefficients}")
    result = ask(trace, "--fleet", str(fleet), "--workers", "2")
    assert "names no model, so the size of its KV is not known" in str(result.exception)
    result = ask(trace, "--fleet", str(fleet), "--workers", "2", "--layerwise")
    assert "leave out --layerwise" in str(result.exception)
    result = ask(trace, "--fleet", str(fleet), "--workers", "2", "--kv-bandwidth", "0", "--ttft", "2", "--tpot", "0.1")
    assert result.exit_code == 0 and "free transfer" in result.stdout
