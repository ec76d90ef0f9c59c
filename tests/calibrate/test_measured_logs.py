"""Fidelity on logs measured with vLLM 0.19: the targets, and the limits that the logs show."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shadowprice.calibrate import Fit, fit, with_unseen_half
from shadowprice.calibrate.replay import latencies, relative, replay
from shadowprice.workload import MeasuredLog, read_measured

EXTRAS = Path(__file__).parents[2] / ".." / "shared" / "data" / "extras"

pytestmark = pytest.mark.skipif(not EXTRAS.is_dir(), reason="the measured vLLM logs are not at ../shared/data/extras")


def log_of(gpu: str) -> MeasuredLog:
    return read_measured(EXTRAS / f"vllm_measured_{gpu}_Llama-3.1-8B.jsonl")


@cache
def fitted(gpu: str) -> Fit:
    log = log_of(gpu)
    return with_unseen_half(fit(log), log)


@pytest.mark.parametrize(
    ("gpu", "e2e", "ttft"),
    [
        pytest.param("RTXPRO6000", 0.02, 0.05, id="slots bind"),
        pytest.param("RTX4090", 0.04, 0.08, id="memory binds"),
    ],
)
def test_replay_of_a_fitted_log_is_near_it(gpu: str, e2e: float, ttft: float) -> None:
    errors = fitted(gpu).errors
    assert max(abs(errors["e2e"][which]) for which in ("mean", "p50", "p90")) < e2e
    assert abs(errors["ttft"]["mean"]) < ttft


@pytest.mark.parametrize("gpu", ["RTXPRO6000", "RTX4090"])
def test_first_half_predicts_the_second_within_ten_percent(gpu: str) -> None:
    unseen = fitted(gpu).unseen
    assert unseen is not None
    assert max(abs(error) for name in ("ttft", "e2e", "tpot") for error in unseen[name].values()) < 0.10


@pytest.mark.parametrize("gpu", ["RTXPRO6000", "RTX4090"])
def test_log_cut_after_the_first_half_predicts_the_second_within_ten_percent(gpu: str) -> None:
    log = log_of(gpu)
    half = np.arange(len(log.trace) // 2)
    stamps = (log.queued_s, log.scheduled_s, log.first_token_s, log.last_token_s)
    found = fit(MeasuredLog(log.trace.take(half), *(stamp[half] for stamp in stamps)))
    rest = np.arange(len(half), len(log.trace))
    errors = relative(*latencies(log, replay(log, found.worker), rest))
    assert max(abs(error) for statistics in errors.values() for error in statistics.values()) < 0.10


def test_limits_that_the_logs_show_are_found() -> None:
    slots, memory = fitted("RTXPRO6000"), fitted("RTX4090")
    assert (slots.worker.max_num_seqs, slots.limits["max_num_seqs"].how) == (128, "inferred")
    assert slots.limits["kv_tokens"].how == "not reached"
    assert memory.limits["max_num_seqs"].how == "not reached"
    assert memory.limits["kv_tokens"].how == "inferred"
    assert 41_000 < memory.worker.kv_tokens < 43_000
    for found in (slots, memory):
        assert found.worker.max_num_batched_tokens == 2048
        assert found.worker.async_scheduling
