"""Limits that nobody gives are those that vLLM takes on the GPU."""

from dataclasses import replace
from pathlib import Path

import pytest

from shadowprice.fleet import GPUS, Worker, read_fleet
from shadowprice.fleet.describe import describe
from shadowprice.fleet.engine_limits import default_limits
from shadowprice.fleet.gpus import GIB

MODEL = '[model]\nname = "llama-3.2-1b"\n'


@pytest.mark.parametrize(
    ("gpu", "sequences", "tokens"),
    [
        ("H100", 1024, 8192),
        ("H100-PCIe", 1024, 8192),
        ("H100-NVL", 1024, 8192),
        ("H200", 1024, 8192),
        ("RTX-PRO-6000", 1024, 8192),
        ("B200", 1024, 16384),
        ("MI300X", 1024, 16384),
        ("A100-80GB", 256, 2048),
        ("A100-80GB-PCIe", 256, 2048),
        ("A100-40GB", 256, 2048),
        ("L40S", 256, 2048),
        ("L4", 256, 2048),
        ("RTX-4090", 256, 2048),
    ],
)
def test_a_fleet_without_limits_has_those_of_vllm_on_its_gpu(
    gpu: str, sequences: int, tokens: int, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f'[gpu]\nname = "{gpu}"\n{MODEL}')
    worker = read_fleet(path).worker
    assert (worker.max_num_seqs, worker.max_num_batched_tokens) == (sequences, tokens)


def test_every_gpu_is_told_by_its_memory_and_a100_by_its_name() -> None:
    gpu = GPUS["H100"]
    sizes = [replace(gpu, hbm_bytes=n) for n in (70 * GIB - 1, 70 * GIB, 160 * GIB - 1, 160 * GIB)]
    assert [default_limits(g).max_num_batched_tokens for g in sizes] == [2048, 8192, 8192, 16384]
    assert default_limits(replace(gpu, name="NVIDIA A100-SXM4-80GB")).max_num_seqs == 256
    assert default_limits(None).max_num_batched_tokens == Worker.max_num_batched_tokens == 2048


def test_a_small_token_budget_lowers_the_sequences_and_a_given_limit_stays(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f'[gpu]\nname = "H100"\n{MODEL}[worker]\nmax_num_batched_tokens = 512\n')
    assert read_fleet(path).worker.max_num_seqs == 512
    path.write_text(f'[gpu]\nname = "H100"\n{MODEL}[worker]\nmax_num_seqs = 256\n')
    assert read_fleet(path).worker.max_num_seqs == 256
    assert read_fleet(path).worker.max_num_batched_tokens == 8192


def test_a_fleet_says_where_each_limit_comes_from() -> None:
    fleet = read_fleet("llama-3.1-8b-h100")
    assert describe(fleet)["limits_from"] == {
        "max_num_seqs": "vLLM's default from 70 GiB on",
        "max_num_batched_tokens": "vLLM's default from 70 GiB on",
        "block_size": "vLLM's default",
        "async_scheduling": "vLLM's default",
    }
    changed = replace(fleet, worker=replace(fleet.worker, max_num_seqs=256, block_size=32))
    said = describe(changed)["limits_from"]
    assert said["max_num_seqs"] == "given; vLLM takes 1,024 from 70 GiB on"
    assert said["block_size"] == "given; vLLM takes 16"
