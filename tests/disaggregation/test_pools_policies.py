"""Rules for the split, the instance's checks, and the formulas against simulation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shadowprice.disaggregation import POLICIES, Link, PoolsProblem, Slo, best_split, estimate, pays_by_tpot, pool_rates
from shadowprice.errors import FleetError, InfeasibleError, PolicyError, TraceError
from shadowprice.fleet import StepTime, Worker, read_fleet
from shadowprice.workload import PRESETS

WORKER = read_fleet("llama-3.1-8b-h100").worker


def problem(workers: int = 8, slo: Slo = Slo(0.5, 0.02), **changes: Any) -> PoolsProblem:
    trace = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=800)
    lengths = (trace.prompt_tokens, trace.output_tokens)
    return replace(PoolsProblem(*lengths, WORKER, WORKER, WORKER, workers, None, slo), **changes)


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("workers", [1, 2, 3, 8, 50])
def test_every_rule_leaves_a_worker_for_each_phase(name: str, workers: int) -> None:
    x = POLICIES[name](problem(workers))
    assert 0 <= x < workers


def test_rules_are_what_they_say() -> None:
    asked = problem()
    by_rate = [best_split(pool_rates(asked), 8).prefill_workers, POLICIES["by_rate"](asked)]
    assert by_rate[0] == by_rate[1] and POLICIES["together"](asked) == 0 and POLICIES["half"](asked) == 4
    shares = asked.prompt_tokens.mean() / (asked.prompt_tokens.mean() + asked.output_tokens.mean())
    assert POLICIES["by_tokens"](asked) == round(8 * shares)
    best = estimate(asked)
    assert POLICIES["by_slo"](asked) == best.best_prefill_workers
    assert POLICIES["by_slo"](replace(asked, slo=Slo(0.5, 0.012))) > 0
    assert POLICIES["by_slo"](replace(asked, slo=Slo(2.0, 0.2))) == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_short_condition_is_that_of_the_fluid_costs(seed: int) -> None:
    """tau < c + e K is the same as: less worker time per request apart than together, in steps of tau."""
    rng = np.random.default_rng(seed)
    c, a, b, e = 10.0 ** rng.uniform([-3, -6, -9, -6], [-1, -4, -7, -4])
    chunk = int(rng.integers(256, 16_384))
    worker = Worker(StepTime(c, a, b, e), max_num_batched_tokens=chunk)
    tau = float((c + e * chunk) * 10.0 ** rng.uniform(-0.5, 0.5))
    if tau <= c:
        return
    prompt_s, decode_s = e * 1000.0, a * 200.0
    together_s = (prompt_s + decode_s) / (1 - c / tau)
    apart_s = decode_s / (1 - c / tau) + prompt_s + c * 1000.0 / chunk
    assert pays_by_tpot(problem(prefill=worker, slo=Slo(tpot_s=tau))) == (apart_s < together_s)


def test_a_tighter_slo_never_raises_the_estimate() -> None:
    loose, tight = estimate(problem(slo=Slo(1.0, 0.03))), estimate(problem(slo=Slo(0.3, 0.015)))
    assert tight.together_per_s <= loose.together_per_s
    assert all(x <= y for x, y in zip(tight.apart_per_s, loose.apart_per_s, strict=True))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"workers": 0}, FleetError, "workers is 0; expected a whole number >= 1"),
        ({"prompt_tokens": np.zeros(3, np.int64)}, TraceError, "prompt_tokens: expected one whole number >= 1"),
        ({"prompt_tokens": np.ones(3, np.int64)}, TraceError, "3 prompt_tokens and 800 output_tokens"),
    ],
)
def test_impossible_instances_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        problem(**change)


def test_impossible_limits_are_refused() -> None:
    for bad, message in (
        ({"ttft_s": 0.0}, "ttft_s is 0.0; expected a number of seconds > 0"),
        ({"tpot_s": float("nan")}, "tpot_s is nan"),
        ({"attainment": 1.5}, "attainment is 1.5; expected a share > 0 and at most 1"),
    ):
        with pytest.raises(PolicyError, match=message):
            Slo(**bad)
    with pytest.raises(InfeasibleError, match="1 worker cannot be split"):
        best_split(pool_rates(problem(1)), 1)


def test_a_link_takes_the_bytes_of_a_prompt_over_its_bandwidth() -> None:
    link = Link(kv_bytes_per_token=200.0, bandwidth_bytes_per_s=1e4)
    np.testing.assert_allclose(link.transfer_s([50, 1]), [1.0, 0.02])
