"""Stability of logs measured on vLLM: the overloaded ones are called overloaded."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shadowprice.calibrate import fit
from shadowprice.capacity import stability
from shadowprice.fleet import Worker
from shadowprice.workload import MeasuredLog, read_measured

EXTRAS = Path(__file__).parents[2] / ".." / "shared" / "data" / "extras"

pytestmark = pytest.mark.skipif(not EXTRAS.is_dir(), reason="the measured vLLM logs are not at ../shared/data/extras")


@cache
def measured(gpu: str) -> tuple[MeasuredLog, Worker]:
    log = read_measured(EXTRAS / f"vllm_measured_{gpu}_Llama-3.1-8B.jsonl")
    return log, fit(log).worker


@pytest.mark.parametrize(("gpu", "binding", "least"), [("RTXPRO6000", "slots", 2), ("RTX4090", "memory", 6)])
def test_overloaded_logs_are_called_overloaded(gpu: str, binding: str, least: int) -> None:
    log, worker = measured(gpu)
    found = stability(log.trace, worker)
    assert found.verdict(1) == "overloaded"
    assert found.binding == binding
    assert found.least_workers == least
    waits = log.scheduled_s - log.trace.arrival_s  # and so they were: the later, the longer the wait
    quarters = [float(part.mean()) for part in np.array_split(waits, 4)]
    assert quarters == sorted(quarters) and quarters[-1] > 10


@pytest.mark.parametrize("gpu", ["RTXPRO6000", "RTX4090"])
def test_measured_throughput_stays_below_the_stable_rate_fitted_to_it(gpu: str) -> None:
    log, worker = measured(gpu)
    done_per_s = len(log.trace) / log.last_token_s.max()
    rate = stability(log.trace, worker).rate_max_per_s
    assert 0.75 * rate < done_per_s < 1.02 * rate
