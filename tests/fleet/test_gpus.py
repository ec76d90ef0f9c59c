"""Data sheets."""

from dataclasses import replace

import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import GPUS
from shadowprice.fleet.gpus import GIB, gpu_by_name

NOMINAL_GB = {
    "A100-40GB": 40, "A100-80GB": 80, "H100": 80, "H100-NVL": 94, "H200": 141, "B200": 180, "L40S": 48, "L4": 24,
    "RTX-4090": 24, "RTX-PRO-6000": 96, "MI300X": 192,
}  # fmt: skip


@pytest.mark.parametrize(("name", "gigabytes"), NOMINAL_GB.items())
def test_reported_memory_is_a_little_below_the_nominal_size(name: str, gigabytes: int) -> None:
    assert 0.90 * gigabytes * GIB < GPUS[name].hbm_bytes <= gigabytes * 1.08e9


def test_fp8_units_are_twice_as_fast_as_bf16_where_there_are_any() -> None:
    for gpu in GPUS.values():
        if gpu.fp8_flops_per_s is not None:
            assert gpu.fp8_flops_per_s == pytest.approx(2 * gpu.bf16_flops_per_s, rel=0.02)
        assert gpu.flops_per_s(8) == (gpu.fp8_flops_per_s or gpu.bf16_flops_per_s)
        assert gpu.flops_per_s(16) == gpu.flops_per_s(4.25) == gpu.bf16_flops_per_s


def test_case_of_a_name_does_not_matter_and_unknown_names_suggest_the_nearest() -> None:
    assert gpu_by_name("rtx-4090") is GPUS["RTX-4090"]
    with pytest.raises(FleetError, match="did you mean 'RTX-4090'"):
        gpu_by_name("RTX4090")


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(FleetError, match=r"gpu\.hbm_bytes is -1; expected a finite number > 0"):
        replace(GPUS["H100"], hbm_bytes=-1)
