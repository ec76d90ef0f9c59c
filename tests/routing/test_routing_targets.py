"""What the routing study finds on two public traces; the numbers of docs/routing.md."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.routing import POLICIES
from shadowprice.simulate.routing_study import IMMEDIATE, SLOTS_BIND, Row, study
from shadowprice.workload import PRESETS, read_trace

DATA = Path(__file__).parents[3] / "shared" / "data"
TRACES = {"azure": "azure2023_conv.csv", "mooncake": "mooncake_conversation.jsonl"}
OURS = ("bf_io", "priced_holes")
IN_ORDER = [name for name in POLICIES if name not in OURS]
BLIND = ["round_robin", "random", "power_of_two", "cache_aware", "join_shortest_queue"]  # to tokens
WORKERS = (8, 16, 64)

Cell = dict[str, Row]


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, int, str], Cell]:
    missing = [name for name in TRACES.values() if not (DATA / name).exists()]
    if missing:
        pytest.skip(f"needs {missing[0]} in {DATA}")
    found: dict[tuple[str, int, str], Cell] = {}
    for short, name in TRACES.items():
        for row in study([read_trace(DATA / name)], WORKERS):
            found.setdefault((short, row.workers, row.regime), {})[row.policy] = row
    return found


@pytest.mark.parametrize("ours", OURS)
def test_choosing_from_a_pool_cuts_idle_time_to_a_fifth_and_a_third(cells: dict, ours: str) -> None:
    for workers in WORKERS:
        for trace, factor in (("mooncake", 5), ("azure", 3)):
            cell = cells[trace, workers, SLOTS_BIND]
            assert min(cell[name].idle_share for name in IN_ORDER) >= factor * cell[ours].idle_share


@pytest.mark.parametrize("ours", OURS)
def test_choosing_from_a_pool_raises_throughput(cells: dict, ours: str) -> None:
    for workers, gain in zip(WORKERS, (1.15, 1.18, 1.30), strict=True):
        cell = cells["mooncake", workers, SLOTS_BIND]
        assert cell[ours].throughput_tok_s >= gain * max(cell[name].throughput_tok_s for name in IN_ORDER)


@pytest.mark.parametrize("ours", OURS)
def test_choosing_from_a_pool_saves_energy_and_keeps_its_bound_on_passes(cells: dict, ours: str) -> None:
    for trace in TRACES:
        for workers in WORKERS:
            cell = cells[trace, workers, SLOTS_BIND]
            assert cell[ours].energy_j_per_token < min(cell[name].energy_j_per_token for name in IN_ORDER)
            most = cell[ours].most_passes
            assert most is not None and cell[ours].passes <= most == 300


@pytest.mark.parametrize("ours", OURS)
def test_on_arrival_idle_time_is_below_least_kv_and_half_of_the_rest(cells: dict, ours: str) -> None:
    for trace in TRACES:
        for workers in WORKERS:
            cell = cells[trace, workers, IMMEDIATE]
            assert cell[ours].idle_share < cell["least_kv"].idle_share
            assert cell[ours].idle_share <= 0.5 * min(cell[name].idle_share for name in BLIND)
    for workers in (16, 64):
        cell = cells["mooncake", workers, IMMEDIATE]
        assert cell[ours].idle_share <= 0.78 * cell["least_kv"].idle_share


@pytest.mark.parametrize("ours", OURS)
def test_on_arrival_latency_and_throughput_are_no_worse(cells: dict, ours: str) -> None:
    """Throughput there is what arrives, over a time that ends with the last finish: policies differ by 1 in 10,000."""
    for trace in TRACES:
        for workers in WORKERS:
            cell = cells[trace, workers, IMMEDIATE]
            assert cell[ours].tpot_s <= min(cell[name].tpot_s for name in IN_ORDER)
            assert cell[ours].throughput_tok_s >= 0.9998 * max(cell[name].throughput_tok_s for name in IN_ORDER)
            assert cell[ours].energy_j_per_token <= 1.0002 * min(cell[name].energy_j_per_token for name in IN_ORDER)
            assert cell[ours].energy_j_per_token < cell["round_robin"].energy_j_per_token


def test_learned_forecasts_lower_idle_time_further(cells: dict) -> None:
    """Over the six cells together; in single ones the difference is within the noise of a run."""
    ratios = [
        cells[trace, workers, IMMEDIATE]["bf_io"].idle_share
        / cells[trace, workers, IMMEDIATE]["priced_holes"].idle_share
        for trace in TRACES
        for workers in WORKERS
    ]
    assert np.mean(np.log(ratios)) < 0


def test_every_row_is_within_its_bounds(cells: dict) -> None:
    for cell in cells.values():
        for row in cell.values():
            assert 0 <= row.bound <= row.idle_share
            assert row.barrier_bound_s <= row.barrier_s


def test_reasoning_is_no_worse_than_least_kv() -> None:
    """Where growth makes the load: mean over runs, since one run is good to a few percent."""
    for workers in (8, 64):
        ratios = []
        for seed in range(4):
            trace = PRESETS["reasoning-like"](np.random.default_rng(seed), requests=10_000)
            found = {r.policy: r for r in study([trace], [workers], policies=("least_kv", "bf_io"))}
            ratios.append(found["bf_io"].idle_share / found["least_kv"].idle_share)
        assert np.mean(ratios) < 1.0


def test_bench_routing_prints_rows_as_one_json_object(tmp_path: Path) -> None:
    args = ["bench", "routing", "azure-code-like", "--workers", "2,3", "--slots", "32", "--json"]
    result = CliRunner().invoke(app, [*args, "--policies", "least_kv,priced_holes"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [(r["workers"], r["regime"], r["policy"]) for r in rows][:4] == [
        (2, "slots_bind", "least_kv"),
        (2, "slots_bind", "priced_holes"),
        (2, "immediate", "least_kv"),
        (2, "immediate", "priced_holes"),
    ]
    wanted = "trace workers slots regime policy idle_share imbalance_tokens throughput_tok_s tpot_s ttft_p99_s"
    assert set(f"{wanted} energy_j_per_token bound".split()) <= set(rows[0])
    table = CliRunner().invoke(app, [a for a in args if a != "--json"])
    assert table.exit_code == 0
    assert "28 %" in table.stdout and "priced_holes" in table.stdout


def test_bench_routing_says_what_is_wrong(tmp_path: Path) -> None:
    small = tmp_path / "small.csv"
    small.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,5\n1,5,5\n")
    for args, message in (
        (["azure-conv-like", "--policies", "magic"], "unknown routing policy 'magic'"),
        (["azure-conv-like", "--policies", "least-kv,priced-hole"], "did you mean 'priced_holes'"),
        ([str(small), "--workers", "8"], "too few requests for 8 workers"),
    ):
        result = CliRunner().invoke(app, ["bench", "routing", *args])
        assert message in str(result.exception)
    assert CliRunner().invoke(app, ["bench", "routing", "x", "--workers", "many"]).exit_code == 2
