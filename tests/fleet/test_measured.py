"""Step times from the measured kernel database, where it is installed."""

import importlib.util
from dataclasses import astuple
from pathlib import Path

import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import GPUS, MODELS, read_fleet
from shadowprice.fleet.measured import measured_step_time

INSTALLED = importlib.util.find_spec("aiconfigurator_core") is not None
needs_database = pytest.mark.skipif(not INSTALLED, reason="aiconfigurator-core is not installed (extra 'oracle')")


@pytest.mark.skipif(INSTALLED, reason="aiconfigurator-core is installed")
def test_without_the_database_the_error_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[gpu]\nname = "H100"\n[model]\nname = "llama-3.1-8b"\n[step_time]\nsource = "measured"\n')
    with pytest.raises(FleetError, match=r"pip install 'shadowprice\[oracle\]'"):
        read_fleet(path)


@needs_database
@pytest.mark.parametrize("preset", ["llama-3.1-8b-h100", "llama-3.1-8b-a100", "llama-3.1-70b-h100-tp4"])
def test_measured_fit_agrees_with_the_recorded_preset(preset: str) -> None:
    fleet = read_fleet(preset)
    assert fleet.gpu is not None and fleet.model is not None
    fit, _ = measured_step_time(fleet.gpu, fleet.model, fleet.tensor_parallel_size)
    c, a, b, e = astuple(fit.step_time)
    recorded = fleet.worker.step_time
    assert (c, a, b) == pytest.approx(astuple(recorded)[:3], rel=0.05)
    assert e == pytest.approx(recorded.per_prefill_token_s, rel=0.15)  # recorded with a constant of its own
    assert fit.decode_error < 0.05 and fit.prefill_error < 0.11


@needs_database
def test_a_fleet_file_can_ask_for_measured_kernels(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[gpu]\nname = "H100"\n[model]\nname = "llama-3.1-8b"\n[step_time]\nsource = "measured"\n')
    assert "measured kernels (aiconfigurator-core" in read_fleet(path).step_time_note


@needs_database
@pytest.mark.parametrize(
    ("gpu", "model", "backend", "message"),
    [
        ("L4", "llama-3.1-8b", "vllm", "no measured kernels for GPU 'L4'"),
        ("H100", "gemma-2-9b", "vllm", "no measured kernels for model 'gemma-2-9b'"),
        ("H100", "llama-3.1-8b", "vlm", "did you mean 'vllm'"),
    ],
)
def test_what_was_not_measured_is_refused(gpu: str, model: str, backend: str, message: str) -> None:
    with pytest.raises(FleetError, match=message):
        measured_step_time(GPUS[gpu], MODELS[model], backend=backend)
