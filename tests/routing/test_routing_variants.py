"""The policies' variants through time: unequal workers, prefix affinity, forecasts that err, a bound on passing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import POLICIES, Compiled, bf_io, priced_holes
from shadowprice.simulate.barrier import STEP_TIME, BarrierRun, Ranks, simulate_barrier
from shadowprice.simulate.routing_study import SETTING, at_load
from shadowprice.workload import PRESETS, Ragged, Trace
from shadowprice.workload.operations import scale_rate
from shadowprice.workload.predict import predict_exactly, predict_with_error


def made(preset: str, seed: int, requests: int = 8_000) -> Trace:
    return PRESETS[preset](np.random.default_rng(seed), requests=requests)


def test_workers_of_unequal_speed_idle_less_when_the_speeds_are_priced_in() -> None:
    """Half of the workers twice as fast, the fixed time of a step in KV tokens told to the policy."""
    fixed = STEP_TIME.fixed_s / STEP_TIME.per_kv_token_s
    speed = np.array([1.0, 1, 1, 1, 2, 2, 2, 2])
    trace = at_load(made("azure-conv-like", 0), 8, 64, SETTING)

    def idle(policy: Compiled) -> float:
        return simulate_barrier(trace, policy, Ranks(workers=8, slots=64, speed=speed)).idle_share

    ours = idle(priced_holes(fixed_kv_tokens=fixed))
    assert ours < idle(priced_holes())
    for name in ("round_robin", "join_shortest_queue", "least_kv", "vllm_internal"):
        assert ours < 0.9 * idle(POLICIES[name]())


def with_shared_prefixes(trace: Trace, rng: np.random.Generator) -> Trace:
    """Half of each prompt, up to 3,200 tokens, is shared by its group; 400 groups of skewed popularity."""
    group = rng.zipf(1.3, len(trace)) % 400
    blocks = np.minimum(trace.prompt_tokens // 32, 200)
    ids = [1000 * g + np.arange(n) for g, n in zip(group, blocks, strict=True)]
    return replace(trace, prefix=Ragged.from_lengths(np.concatenate(ids), blocks), prefix_block_tokens=16)


def test_affinity_and_balance_as_one_objective_serve_sooner_than_either_alone() -> None:
    """Prompts are prefilled unless cached on the worker; 20 us a prompt token, as much as reading 200 KV tokens."""
    time = StepTime(0.020, 0.0, 1e-7, 2e-5)
    trace = with_shared_prefixes(made("mooncake-conversation-like", 0, 4_000), np.random.default_rng(0))
    trace = scale_rate(trace, 3.0 / trace.rate_per_s)

    def mean_e2e_s(policy: Compiled) -> float:
        run = simulate_barrier(trace, policy, Ranks(workers=8, slots=64, step_time=time))
        return float((run.finish_s - trace.arrival_s).mean())

    both = mean_e2e_s(priced_holes(prefill_kv_tokens=time.per_prefill_token_s / time.per_kv_token_s))
    alone = (priced_holes(), POLICIES["cache_aware"](), POLICIES["consistent_hash"]())
    assert both < min(mean_e2e_s(policy) for policy in alone)


def test_an_oracle_helps_and_one_that_errs_is_worse_than_what_is_learned() -> None:
    """Where growth makes the load, mean over seeds and workers: a forecast that is off by half is taken at its word."""
    idle: dict[str, list[float]] = {}
    for seed in range(3):
        for workers in (8, 16):
            trace = at_load(made("reasoning-like", seed), workers, 64, SETTING)
            rng = np.random.default_rng(seed)
            for name, policy, seen in (
                ("oracle", bf_io(forecast="predicted"), predict_exactly(trace)),
                ("noisy", bf_io(forecast="predicted"), predict_with_error(trace, 0.5, rng)),
                ("noisier", bf_io(forecast="predicted"), predict_with_error(trace, 2.0, rng)),
                ("learned", bf_io(), trace),
                ("least_kv", POLICIES["least_kv"](), trace),
            ):
                run = simulate_barrier(seen, policy, Ranks(workers=workers, slots=64))
                idle.setdefault(name, []).append(run.idle_share)
    oracle, noisy, noisier, learned, least_kv = (np.mean(shares) for shares in idle.values())
    assert oracle < least_kv and learned < least_kv
    assert max(oracle, learned) < noisy < noisier


@pytest.mark.parametrize("make", [priced_holes, bf_io])
def test_a_tighter_bound_on_passing_over_is_kept_and_costs_idle_time(make: Callable[..., Compiled]) -> None:
    trace = made("mooncake-conversation-like", 1)

    def run(most: int) -> BarrierRun:
        return simulate_barrier(trace, make(most_passes=most), Ranks(workers=16, slots=64), pool=64, saturated=True)

    runs = {most: run(most) for most in (0, 10, 300)}
    assert all(found.passes.max() <= most for most, found in runs.items())
    assert runs[0].idle_share > runs[10].idle_share > runs[300].idle_share
