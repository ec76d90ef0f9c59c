"""Together or apart: the comparison, its bound, its words and its map."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import shadowprice.plan.pools.map as pools_map
from shadowprice.disaggregation import Link, Slo
from shadowprice.errors import InfeasibleError, PolicyError, ShadowpriceError, TraceError
from shadowprice.fleet import StepTime, Worker
from shadowprice.plan.pools.options import PoolsOptions
from shadowprice.plan.pools.plan import plan_pools
from shadowprice.plan.pools.plot import write_map
from shadowprice.plan.results import PoolsPlan
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.pools_study import (
    SMALLEST_CHUNK,
    Design,
    PoolsSetting,
    chunks,
    goodput,
    goodput_grid,
    run_design,
)
from shadowprice.workload import Trace
from tests.plan.plan_cases import chat, h100

LINK = Link(131_072, 50e9)
TIGHT, LOOSE = Slo(0.2, 0.012), Slo(1.0, 0.06)


@pytest.fixture(scope="module")
def tight() -> PoolsPlan:
    return plan_pools(chat(2000), h100(), TIGHT, PoolsOptions(4, LINK), jobs=1)


@pytest.fixture(scope="module")
def loose() -> PoolsPlan:
    return plan_pools(chat(2000), h100(), LOOSE, PoolsOptions(4, LINK), jobs=1)


def setting(requests: int = 2000, workers: int = 4) -> PoolsSetting:
    return PoolsSetting(chat(requests), h100().worker, workers, LINK, fcfs())


def test_every_design_is_below_its_bound_and_the_bound_of_all(tight: PoolsPlan, loose: PoolsPlan) -> None:
    for found in (tight, loose):
        for outcome in found.together + found.apart:
            assert outcome.rate_per_s <= outcome.bound_per_s <= found.bound.rate_per_s * (1 + 1e-9)
            assert outcome.inside is not None and outcome.inside >= 0.9
            assert (outcome.ttft_s or 0) <= found.slo.ttft_s and (outcome.tpot_s or 0) <= found.slo.tpot_s


def test_a_tight_tpot_limit_splits_and_a_loose_one_does_not(tight: PoolsPlan, loose: PoolsPlan) -> None:
    assert tight.gain > 0.15 and tight.best_apart.design.prefill_workers == 2
    assert loose.gain < 0.0
    assert str(tight).count("split: 2 prefill") == 1 and "keep prefill and decode together" in str(loose)
    assert tight.expected.best_prefill_workers == 2 and loose.expected.best_prefill_workers == 0


def test_the_chunk_size_of_the_colocated_side_is_the_best_that_was_tried(tight: PoolsPlan) -> None:
    sizes = [outcome.design.chunk_tokens for outcome in tight.together]
    assert sizes == chunks(h100().worker) and len(sizes) >= 10 and min(sizes) == SMALLEST_CHUNK
    assert tight.best_together.rate_per_s == max(outcome.rate_per_s for outcome in tight.together)
    assert tight.best_together.rate_per_s > 1.5 * tight.together[-1].rate_per_s  # the smallest chunk: TTFT is missed


def test_goodput_is_where_the_share_within_the_slo_falls_below_what_is_asked() -> None:
    for design in (Design(0, 2048), Design(2, 8192)):
        found = goodput(setting(), TIGHT, design)
        above = run_design(setting(), design, found.rate_per_s * 1.08)
        assert TIGHT.met_by(above.ttft_s, above.tpot_s).mean() < 0.9 <= (found.inside or 0)


def test_one_run_per_rate_gives_the_same_goodputs_as_a_search() -> None:
    rates = np.linspace(20, 80, 40)
    grid = goodput_grid(setting(), Design(0, 4096), rates, np.array([0.2, 1e-3, 1.0]), np.array([0.012, 0.02]), 0.9)
    assert (grid[1] == 0).all()
    for i, j, slo in ((0, 0, TIGHT), (2, 1, Slo(1.0, 0.02))):
        assert grid[i, j] == pytest.approx(goodput(setting(), slo, Design(0, 4096)).rate_per_s, rel=0.03)


def test_the_same_in_processes(tight: PoolsPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowprice.plan.pools.plan.WORTH_PROCESSES", 0)
    told: list[tuple[int, int]] = []
    again = plan_pools(
        chat(2000), h100(), TIGHT, PoolsOptions(4, LINK), jobs=2, tick=lambda done, of: told.append((done, of))
    )
    assert again.to_json() == tight.to_json()
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)


def test_json_is_plain_and_says_what_the_table_says(tight: PoolsPlan) -> None:
    dumped = json.loads(json.dumps(tight.to_json(), allow_nan=False))
    best = dumped["apart"]["best"]
    assert (best["prefill_workers"], best["decode_workers"]) == (2, 2)
    assert best["goodput_per_gpu_s"] == pytest.approx(best["goodput_per_s"] / 4)
    assert dumped["gain"] == pytest.approx(best["goodput_per_s"] / dumped["together"]["best"]["goodput_per_s"] - 1)
    assert dumped["bound"]["goodput_per_s"] >= best["goodput_per_s"]
    assert "<pre" in tight._repr_html_() and "any: bound" in str(tight)


def test_a_slow_link_takes_the_gain_away() -> None:
    slow = plan_pools(chat(2000), h100(), TIGHT, PoolsOptions(4, Link(131_072, 1e9)), jobs=1)
    assert slow.gain < 0.0


def test_out_of_reach_and_too_short_are_said() -> None:
    hopeless = plan_pools(chat(1000), h100(), Slo(0.5, 0.006), PoolsOptions(2), jobs=1)
    assert not hopeless.answered and hopeless.bound.rate_per_s == 0
    assert "impossible at any rate, because 100 % of the requests miss TTFT 0.500 s and TPOT 6.00 ms" in str(hopeless)
    short = plan_pools(chat(300), h100(), LOOSE, PoolsOptions(2), jobs=1)
    assert not short.answered and "too short to judge: 300 requests" in str(short)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InfeasibleError, match="1 worker cannot be split"):
        plan_pools(chat(100), h100(), LOOSE, PoolsOptions(1))
    with pytest.raises(TraceError, match="have no rate"):
        plan_pools(Trace(np.zeros(3), np.ones(3), np.ones(3)), h100(), LOOSE, PoolsOptions(2))
    small = replace(h100(), worker=Worker(StepTime(1e-3, 0, 0, 0), kv_tokens=64))
    with pytest.raises(InfeasibleError, match="need more KV tokens than a worker has \\(64\\)"):
        plan_pools(chat(50), small, LOOSE, PoolsOptions(2))


@pytest.fixture(scope="module")
def drawn() -> pools_map.PoolsMap:
    patch = pytest.MonkeyPatch()
    for name, value in (("REQUESTS", 1200), ("RATES", np.geomspace(0.05, 1.1, 12)), ("RATIOS", np.array([1.0, 5.5]))):
        patch.setattr(pools_map, name, value)
    patch.setattr(pools_map, "AROUND", np.geomspace(1 / 3, 3, 7))
    found = pools_map.pools_map(setting(), Slo(0.3, 0.02), jobs=1)
    patch.undo()
    return found


def test_the_condition_agrees_with_simulation_on_most_of_a_grid(drawn: pools_map.PoolsMap) -> None:
    """Where either way gains more than 5 %, the formulas mostly name the right one, by limits and by lengths."""
    gains = drawn.by_limits
    assert gains.agreement >= 0.8
    clear = np.isfinite(gains.simulated) & (np.abs(gains.simulated - 1) > 0.05)
    assert (gains.simulated[clear] > 1).any() and (gains.simulated[clear] < 1).any()


def test_splitting_gains_more_the_tighter_the_tpot_limit(drawn: pools_map.PoolsMap) -> None:
    row = drawn.by_limits.simulated[-1]
    row = row[np.isfinite(row) & (row > 0)]
    assert row[0] > 1.1 > 1.0 > row[-1]


def test_the_map_is_a_file_of_the_same_bytes(drawn: pools_map.PoolsMap, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write_map(drawn, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(ShadowpriceError, match="cannot be written"):
        write_map(drawn, tmp_path / "nowhere" / "a.svg")
    json.dumps(drawn.by_limits.to_json(), allow_nan=False)


def test_a_map_needs_two_limits() -> None:
    with pytest.raises(PolicyError, match="expected two finite limits"):
        pools_map.pools_map(setting(), Slo(ttft_s=1.0), jobs=1)


def test_odd_traces_are_compared_all_the_same() -> None:
    """Outputs of one token (nothing to decode), all equal lengths, no limits."""
    arrival_s = np.cumsum(np.random.default_rng(0).exponential(0.1, 1000))
    for output, slo in ((1, Slo(0.5, 0.02)), (50, Slo()), (2, Slo(tpot_s=0.02))):
        trace = Trace(arrival_s, np.full(1000, 300), np.full(1000, output))
        found = plan_pools(trace, h100(), slo, PoolsOptions(2, LINK), jobs=1)
        assert found.answered and found.best_together.rate_per_s > 0
        json.dumps(found.to_json(), allow_nan=False)
        assert "any: bound" in str(found)


def test_ratio_changes_both_lengths_by_one_factor() -> None:
    trace = pools_map.with_ratio(chat(2000), 2.0, h100().worker)
    assert trace.prompt_tokens.mean() / trace.output_tokens.mean() == pytest.approx(2.0, rel=0.02)
