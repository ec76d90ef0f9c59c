"""shadowprice fleet fit from the outside."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_logs import run_of, write_log

from shadowprice.cli import main
from shadowprice.fleet import StepTime, Worker, read_fleet


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def shadowprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["shadowprice", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Done(int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(run_of(Worker(StepTime(8e-3, 3e-5, 6e-8, 3e-5)), requests=40), tmp_path / "my.log.jsonl")


def test_fit_prints_one_json_object_and_writes_a_fleet_that_reads_back(
    shadowprice: Callable[..., Done], log: Path, tmp_path: Path
) -> None:
    done = shadowprice("fleet", "fit", log, "-o", tmp_path / "fleet.toml", "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["step_time"]) == {"fixed_s", "per_sequence_s", "per_kv_token_s", "per_prefill_token_s"}
    assert set(found["errors"]) == {"ttft", "e2e", "tpot"}
    assert all(set(statistics) == {"mean", "p50", "p90"} for statistics in found["errors"].values())
    fleet = read_fleet(tmp_path / "fleet.toml")
    assert fleet.name == "my.log"
    assert fleet.worker.step_time == StepTime(**found["step_time"])
    assert fleet.worker.kv_tokens == found["limits"]["kv_tokens"]["value"]


def test_fit_prints_errors_limits_and_notes(shadowprice: Callable[..., Done], log: Path) -> None:
    done = shadowprice("fleet", "fit", log, "--kv-tokens", 131072)
    assert done.code == 0, done.stderr
    assert "e2e p90" in done.stdout
    assert "131072  given" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ('{"input_toks": 3, "output_toks": 4, "arrival_time": 1.0}\n', "missing required field"),
        ("TIMESTAMP,ContextTokens\n", "not a measured log; expected a JSON object per line with input_toks"),
        ('{"timestamp": 1, "input_length": 3}\n', "not a measured log"),
    ],
)
def test_bad_log_ends_with_one_clear_line(
    shadowprice: Callable[..., Done], text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    done = shadowprice("fleet", "fit", path)
    assert done.code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1
