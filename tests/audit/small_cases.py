"""Small traces and fleets, and hypothesis strategies for them."""

import numpy as np
from hypothesis import strategies as st

from shadowprice.fleet import Fleet, StepTime, Worker
from shadowprice.workload import Trace


def small_fleet(workers: int = 1, **limits: int) -> Fleet:
    """A worker that a handful of requests can fill."""
    step_time = StepTime(0.01, 1e-4, 1e-6, 1e-5)
    worker = Worker(step_time, **{"max_num_seqs": 4, "max_num_batched_tokens": 64, "kv_tokens": 512} | limits)
    return Fleet("small", worker, workers=workers)


def small_trace(n: int = 60, seed: int = 0, rate_per_s: float = 5.0) -> Trace:
    """n requests of up to 100 prompt and 40 output tokens, Poisson."""
    rng = np.random.default_rng(seed)
    arrival_s = 100.0 + np.cumsum(rng.exponential(1 / rate_per_s, n))
    return Trace(arrival_s, rng.integers(1, 101, n), rng.integers(1, 41, n), name="small")


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Up to 25 requests that fit `small_fleet`, some of them at the same moment, with or without a forecast."""
    n = draw(st.integers(1, 25))
    tokens = st.lists(st.integers(1, 60), min_size=n, max_size=n).map(np.array)
    gaps_s = draw(st.lists(st.sampled_from([0.0, 0.001, 0.05, 1.0]), min_size=n, max_size=n))
    forecast = draw(st.none() | tokens)
    return Trace(np.cumsum(gaps_s), draw(tokens), draw(tokens), predicted_output=forecast, name="random")


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """One to three small workers, memory tight or not, decided ahead or not."""
    worker = Worker(
        StepTime(draw(st.sampled_from([1e-4, 0.01])), draw(st.sampled_from([0.0, 1e-4])), 1e-6, 1e-5),
        max_num_seqs=draw(st.integers(1, 8)),
        max_num_batched_tokens=draw(st.sampled_from([8, 64, 512])),
        kv_tokens=draw(st.sampled_from([128, 160, 1024])),
        block_size=draw(st.sampled_from([1, 16])),
        async_scheduling=draw(st.booleans()),
    )
    return Fleet("random", worker, workers=draw(st.integers(1, 3)))
