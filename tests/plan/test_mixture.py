"""Mixed kinds: the mix against single kinds, simulated within the targets."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import Fleet, StepTime, Worker, read_fleet
from shadowprice.plan.mixture import plan_mixture
from shadowprice.plan.sizing.plan import with_price
from shadowprice.plan.targets import Targets
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload import PRESETS, Trace, merge, scale_rate
from tests.plan.plan_cases import chat

H100 = with_price(read_fleet("llama-3.1-8b-h100"), 2.5)
L40S = with_price(read_fleet("llama-3.1-8b-l40s"), 0.8)


def test_a_mix_is_simulated_and_never_dearer_than_the_best_single_kind() -> None:
    code = PRESETS["azure-code-like"](np.random.default_rng(0), requests=2000, rate_per_s=20.0)
    both = merge([chat(2000, 20.0), scale_rate(code, 20.0 / code.rate_per_s)])
    found = plan_mixture(both, [H100, L40S], Targets(2.0, 0.1), fcfs())
    singles = [one.usd_per_hour for one in found.alone.values() if one is not None and one.meets]
    assert found.answered and found.mix.usd_per_hour <= min(singles)
    assert found.bound_usd_per_hour <= found.mix.usd_per_hour
    assert found.to_json()["mix"]["workers"].keys() <= {H100.name, L40S.name}


def test_kinds_without_a_price_or_with_one_name_are_refused() -> None:
    with pytest.raises(FleetError, match="usd_per_hour under"):
        plan_mixture(chat(200), [H100, read_fleet("llama-3.1-8b-l40s")], Targets(2.0), fcfs())
    with pytest.raises(FleetError, match="one name"):
        plan_mixture(chat(200), [H100, H100], Targets(2.0), fcfs())


def test_requests_of_one_token_have_no_tpot_and_miss_no_target_for_it() -> None:
    trace = Trace(np.arange(300) * 0.1, np.full(300, 200), np.ones(300, np.int64), name="one token")
    found = plan_mixture(trace, [H100, L40S], Targets(2.0, 0.01), fcfs())
    assert found.answered and found.mix.tpot_s is None and "TPOT none" in str(found.mix)
    json.dumps(found.to_json(), allow_nan=False)


def test_one_request_that_only_the_dear_kind_holds_costs_one_worker_of_it() -> None:
    """Requests of a second each, ten in three seconds; one of them needs the memory of the dear kind."""
    prompt = np.full(900, 10)
    prompt[450] = 1000
    trace = Trace(np.arange(900) * 0.3, prompt, np.ones(900, np.int64), name="misfit")
    fleets = [_single("big", 1024, 10.0), _single("small", 64, 1.0)]
    found = plan_mixture(trace, fleets, Targets(), fcfs())
    assert found.bound_usd_per_hour == pytest.approx(13.0)
    assert found.mix.usd_per_hour == pytest.approx(13.0) and found.mix.workers == (1, 3)


def _single(name: str, kv_tokens: int, usd_per_hour: float) -> Fleet:
    """A kind that serves one sequence at a time, a second a step."""
    worker = Worker(StepTime(1.0, 0, 0, 0), max_num_seqs=1, kv_tokens=kv_tokens)
    gpu = replace(read_fleet("llama-3.1-8b-h100").gpu, usd_per_hour=usd_per_hour)  # type: ignore[type-var]
    return Fleet(name, worker, gpu=gpu)
