"""Shadow prices: what twice as much of one thing is worth."""

import numpy as np
import pytest

from shadowprice.capacity import prices, stability
from shadowprice.fleet import PRESETS as FLEETS
from shadowprice.fleet import Fleet, StepTime, Worker, read_fleet
from shadowprice.workload import PRESETS, Trace


@pytest.mark.parametrize("name", FLEETS)
def test_more_never_hurts_and_longer_prompts_never_help(name: str) -> None:
    fleet = read_fleet(name)
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=500)
    found = prices(trace, fleet)
    for what in ("hbm", "compute", "bandwidth", "slots", "token_budget"):
        assert found[what].gain >= -1e-9, what
    assert found["context"].gain < 0
    assert found["hbm"].gain <= stability(trace, fleet.worker).shares["steps"] * 2


def test_twice_the_hbm_holds_more_than_twice_the_kv() -> None:
    """Weights need their room once."""
    fleet = read_fleet("llama-3.1-8b-h100")
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=50)
    assert prices(trace, fleet)["hbm"].change == "twice the HBM: 846,224 KV tokens"
    bare = Fleet("bare", Worker(StepTime(1e-3, 0, 0, 0), kv_tokens=5000))
    assert (
        prices(Trace(np.arange(2.0), np.ones(2), np.ones(2)), bare)["hbm"].change
        == "twice the KV memory: 10,000 tokens"
    )


def test_where_one_limit_binds_only_its_price_is_not_zero() -> None:
    worker = Worker(StepTime(0.02, 0, 0, 0), max_num_seqs=10_000, kv_tokens=4000, max_num_batched_tokens=10**6)
    found = prices(Trace(np.arange(2.0), np.full(2, 500), np.full(2, 100)), Fleet("memory", worker))
    assert found["hbm"].gain == pytest.approx(1)
    assert [found[name].gain for name in ("compute", "slots", "token_budget")] == [0, 0, 0]
