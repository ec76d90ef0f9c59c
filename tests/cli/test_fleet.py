"""shadowprice fleet on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.fleet import GPUS, MODELS, PRESETS, read_fleet

MAKE = ["fleet", "make", "--gpu", "H100", "--model", "llama-3.1-8b"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_names_everything() -> None:
    text = run("fleet", "list")
    assert all(name in text for name in GPUS)
    known = json.loads(run("fleet", "list", "--json"))
    assert known == {"presets": list(PRESETS), "gpus": list(GPUS), "models": list(MODELS)}


@pytest.mark.parametrize("name", PRESETS)
def test_show_prints_what_fits(name: str) -> None:
    text = run("fleet", "show", name)
    assert f"{read_fleet(name).worker.kv_tokens:,}" in text and "weights" in text
    assert json.loads(run("fleet", "show", name, "--json"))["name"] == name


def test_show_json_is_one_object_with_bytes_and_steps() -> None:
    shown = json.loads(run("fleet", "show", "llama-3.1-8b-h100", "--json"))
    assert shown["model"]["kv_bytes_per_token"] == 131072
    assert shown["worker"]["kv_tokens"] == 262144
    assert shown["steps"][0]["step_time_s"] == pytest.approx(6.35e-3 + 1.12e-5 + 1024 * 4.13e-8)
    assert shown["worker_power"] == {"idle_power_w": None, "peak_power_w": 700.0}


def test_show_works_without_gpu_and_model(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(
        "[worker]\nkv_tokens = 5000\n[step_time]\n"
        "fixed_s = 1e-3\nper_sequence_s = 0\nper_kv_token_s = 0\nper_prefill_token_s = 0\n"
    )
    assert "5,000" in run("fleet", "show", str(path))


def test_make_writes_a_file_that_show_reads(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    assert run(*MAKE, "--workers", "3", "--dtype", "fp8", "-o", str(path)) == ""
    fleet = read_fleet(path)
    assert (fleet.name, fleet.workers, fleet.model and fleet.model.dtype) == ("llama-3.1-8b-h100", 3, "fp8")
    assert "llama-3.1-8b-h100" in run("fleet", "show", str(path))


def test_make_without_a_file_prints_the_toml(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(run(*MAKE, "--kv-tokens", "4096"))
    assert read_fleet(path).worker.kv_tokens == 4096


def test_make_reads_a_config_json(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}')
    made = json.loads(run("fleet", "make", "--gpu", "L4", "--model", str(config), "--json"))
    assert made["model"]["hidden_size"] == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fleet", "show", "llama-3.1-8b-h200"], "neither a file nor a preset; did you mean 'llama-3.1-8b-h100'"),
        (["fleet", "make", "--gpu", "H1OO", "--model", "llama-3.1-8b"], "did you mean 'H100'"),
        ([*MAKE, "--step-time", "fast"], "step_time.source is 'fast'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-c", "from shadowprice.cli import main; main()", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and message in result.stderr and result.stderr.count("\n") == 1


def test_help_has_examples() -> None:
    assert "shadowprice fleet make --gpu H100" in run("fleet", "make", "--help")
