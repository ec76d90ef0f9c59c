"""Traces and fleets for the plan's tests."""

from dataclasses import replace

import numpy as np

from shadowprice.fleet import Fleet, read_fleet
from shadowprice.workload import PRESETS, Trace, scale_rate


def chat(requests: int = 4000, rate_per_s: float = 60.0, seed: int = 0) -> Trace:
    """Chat at exactly this rate."""
    trace = PRESETS["azure-conv-like"](np.random.default_rng(seed), requests=requests)
    return scale_rate(trace, rate_per_s / trace.rate_per_s)


def h100(usd_per_hour: float | None = 2.5) -> Fleet:
    fleet = read_fleet("llama-3.1-8b-h100")
    assert fleet.gpu is not None
    return replace(fleet, gpu=replace(fleet.gpu, usd_per_hour=usd_per_hour))
