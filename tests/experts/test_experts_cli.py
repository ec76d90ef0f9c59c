"""The verb: what it prints, what it writes, and that engines can load what it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.errors import ExpertError, ShadowpriceError
from shadowprice.experts import (
    ExpertOptions,
    GemmTime,
    Placement,
    SearchOptions,
    certify_experts,
    compare,
    contiguous,
    dirichlet_loads,
    read_placement,
    write_placement,
)

RUN = CliRunner()


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    scores = rng.random((400, 3, 12)) + np.linspace(0, 0.6, 12)
    ids = np.argsort(-scores, axis=2)[:, :, :3].astype(np.uint8)
    np.savez(tmp_path / "routing.npz", experts=ids)
    return tmp_path / "routing.npz"


def ask(*arguments: str) -> dict:  # type: ignore[type-arg]
    done = RUN.invoke(app, ["experts", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return answer


def test_json_has_a_row_per_placement_and_split(routing: Path) -> None:
    answer = ask(str(routing), "--gpus", "4", "--redundant", "4", "--batch-tokens", "50", "--effort", "0.05")
    rows = {(row["placement"], row["dispatch"]): row for row in answer["rows"]}
    assert set(rows) == {(p, d) for p in ("contiguous", "eplb", "shadowprice") for d in ("even", "random", "optimal")}
    for row in answer["rows"]:
        assert row["batch_tokens"] == 50
        assert row["bound"] <= row["max_over_mean"] * (1 + 1e-9)
    assert rows["eplb", "optimal"]["max_over_mean"] <= rows["eplb", "even"]["max_over_mean"] + 4 / 37
    altering = {row["baseline"].split(",")[0]: row for row in answer["baselines"] if row["changes_output"]}
    assert altering["expert choice"]["added_share"] > 0
    assert altering["capacity factor 1.25"]["dropped_share"] > 0


def test_table_shows_before_after_and_bound(routing: Path) -> None:
    done = RUN.invoke(
        app,
        ["experts", str(routing), "--gpus", "5", "--redundant", "1", "--batch-tokens", "50", "--effort", "0.02"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    for words in ("contiguous", "shadowprice", "any: bound", "CHANGES THE OUTPUT", "above the bound"):
        assert words in done.stdout
    assert "1 redundant experts do not fill 5 GPUs evenly: 3 used (15 slots, 3 per GPU)" in done.stdout


def test_a_written_placement_is_the_next_budgets_start(routing: Path, tmp_path: Path) -> None:
    size = ("--gpus", "4", "--redundant", "4", "--batch-tokens", "50", "--effort", "0.05")
    files = [tmp_path / f"now.{ending}" for ending in ("json", "npy", "npz")]
    ask(str(routing), *size, *(part for file in files for part in ("-o", str(file))))
    placed = [read_placement(file, 4, 12, np.arange(3)) for file in files]
    assert all(np.array_equal(p.expert_of_slot, placed[0].expert_of_slot) for p in placed)
    for file in files:
        answer = ask(str(routing), *size, "--before", str(file), "--move-budget", "2", "--seed", "5")
        assert 0 <= answer["copies"] <= 2 * 3
    with pytest.raises(ExpertError, match="go together"):
        ask(str(routing), *size, "--before", str(files[0]))


def test_what_cannot_be_written_is_said_before_the_search(routing: Path, tmp_path: Path) -> None:
    for option, name, said in (
        ("-o", "p.foo", "ends in .json, .npy, .npz"),
        ("-o", "nowhere/p.json", "no directory"),
        ("--plot", "p.foo", "ends in .svg"),
    ):
        with pytest.raises(ShadowpriceError, match=said):
            ask(str(routing), "--effort", "1000", option, str(tmp_path / name))


def test_sglang_form_is_the_map_alone_with_a_row_for_every_layer_of_the_model(tmp_path: Path) -> None:
    placement = Placement(np.array([[0, 1, 1, 2], [2, 1, 0, 0]]), 2, 3)
    write_placement(placement, np.array([1, 3]), tmp_path / "p.json")
    found = json.loads((tmp_path / "p.json").read_text())
    trivial = [0, 1, 2, 0]
    assert found == {"physical_to_logical_map": [trivial, [0, 1, 1, 2], trivial, [2, 1, 0, 0]]}
    assert np.array_equal(
        read_placement(tmp_path / "p.json", 2, 3, np.array([1, 3])).expert_of_slot, placement.expert_of_slot
    )


def test_vllm_form_is_the_array_its_policy_returns(tmp_path: Path) -> None:
    placement = contiguous(2, 3, 4, 2)
    write_placement(placement, np.array([1, 3]), tmp_path / "p.npy")
    found = np.load(tmp_path / "p.npy")
    assert found.dtype == np.int64
    assert found.tolist() == [[0, 1, 2, 0]] * 2


def test_files_that_are_no_placement_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match=r"p\.txt: expected a name that ends in \.json"):
        write_placement(contiguous(1, 2, 2, 2), np.array([0]), tmp_path / "p.txt")
    with pytest.raises(ExpertError, match="cannot be written"):
        write_placement(contiguous(1, 2, 2, 2), np.array([0]), tmp_path / "nowhere" / "p.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ExpertError, match=r"bad\.json: not a placement"):
        read_placement(tmp_path / "bad.json", 2, 2, np.array([0]))
    (tmp_path / "short.json").write_text('{"physical_to_logical_map": [[0, 1]]}')
    with pytest.raises(ExpertError, match="1 layers; the loads have layer 4"):
        read_placement(tmp_path / "short.json", 2, 2, np.array([4]))


def test_plot_is_a_picture_and_the_same_one_each_time(routing: Path, tmp_path: Path) -> None:
    size = ("--gpus", "4", "--redundant", "4", "--batch-tokens", "50", "--effort", "0.02")
    for name in ("a.svg", "b.svg"):
        ask(str(routing), *size, "--plot", str(tmp_path / name))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"bound: no placement, no split" in (tmp_path / "a.svg").read_bytes()


def test_one_batch_of_counts_is_chosen_and_judged_on(tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", np.random.default_rng(0).integers(1, 99, (2, 8)))
    answer = ask(str(tmp_path / "counts.npy"), "--gpus", "2", "--redundant", "2", "--effort", "0.02")
    assert answer["rows"][0]["batch_tokens"] is None
    assert "one batch of counts only: placements are chosen and judged on the same counts" in answer["notes"]
    best = {(row["placement"], row["dispatch"]): row["max_over_mean"] for row in answer["rows"]}
    assert best["shadowprice", "even"] <= best["eplb", "even"] + 1e-9


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("fleet") / "moe.toml"
    done = RUN.invoke(app, ["fleet", "make", "--gpu", "H100", "--model", "gpt-oss-20b", "-o", str(path)])
    assert done.exit_code == 0, done.output
    return str(path)


def test_by_seconds_every_split_is_above_the_bound_and_the_split_by_time_is_best(routing: Path, moe: str) -> None:
    size = ("--gpus", "4", "--redundant", "4", "--batch-tokens", "50", "--effort", "0.05")
    answer = ask(str(routing), *size, "--cost", "seconds", "--fleet", moe)
    rows = {(row["placement"], row["dispatch"]): row for row in answer["rows"]}
    splits = ("even", "random", "tokens", "optimal")
    assert set(rows) == {(p, d) for p in ("contiguous", "eplb", "shadowprice") for d in splits}
    for row in answer["rows"]:
        assert 1 <= row["bound"] <= row["max_over_mean"] * (1 + 1e-9)
        assert row["slowest_s"] <= rows["contiguous", "even"]["slowest_s"] * 2
    for placement in ("eplb", "shadowprice"):
        assert rows[placement, "optimal"]["slowest_s"] <= rows[placement, "tokens"]["slowest_s"]
    assert answer["options"]["cost"].keys() == {"tile_rows", "tile_s", "weight_s"} and answer["baselines"] == []
    by_tokens = ask(str(routing), *size)
    assert by_tokens["options"]["cost"] is None and by_tokens["rows"][0]["slowest_s"] is None


def test_seconds_are_printed_with_what_they_are_made_of(routing: Path, moe: str) -> None:
    done = RUN.invoke(
        app,
        [
            *("experts", str(routing), "--gpus", "4", "--batch-tokens", "50"),
            *("--cost", "seconds", "--fleet", moe, "--effort", "0.02"),
        ],
    )
    # 24.9 million parameters of 4.25 bits at 80 % of 3.35 TB/s; 64 tokens of them at 30 % of 989 TFLOP/s
    assert "loads are seconds: 4.93 us to read an expert, 10.7 us a tile of 64 tokens" in done.output
    assert "slowest GPU" in done.output and " us" in done.output.splitlines()[5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cost", "seconds"], "--cost seconds and --fleet go together"),
        (["--fleet", "llama-3.1-8b-h100"], "--cost seconds and --fleet go together"),
        (["--cost", "seconds", "--fleet", "llama-3.1-8b-h100"], "llama-3.1-8b-h100: serves no model with experts"),
    ],
)
def test_seconds_take_a_model_with_experts(routing: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(ShadowpriceError, match=said):
        RUN.invoke(app, ["experts", str(routing), *arguments], catch_exceptions=False)


def test_certificates_by_seconds_say_so_and_hold() -> None:
    loads = dirichlet_loads(
        np.random.default_rng(0), layers=2, experts=16, batches=6, batch_tokens=64, top_k=2, concentration=0.5
    )
    options = ExpertOptions(4, 4, search=SearchOptions(effort=0.05), cost=GemmTime(16, 1e-5, 2e-5))
    certificates = certify_experts(loads, options)
    for one in certificates:
        assert one.gap is not None and one.gap >= -1e-9 and one.unit == "mean GPU times"
        assert "20 us to read an expert, 10 us a tile of 16 tokens" in one.model
    dispatch = [c.policy for c in certificates if c.decision == "expert dispatch"]
    assert dispatch == ["even", "random", "tokens", "optimal"]


def test_certificates_have_bounds_that_hold_and_advice() -> None:
    loads = dirichlet_loads(
        np.random.default_rng(0), layers=2, experts=16, batches=6, batch_tokens=64, top_k=2, concentration=0.5
    )
    certificates = certify_experts(loads, ExpertOptions(4, 4, search=SearchOptions(effort=0.05)))
    assert [c.policy for c in certificates if c.decision == "expert placement"] == [
        "contiguous, even split", "eplb, even split", "shadowprice, even split", "shadowprice, optimal split"
    ]  # fmt: skip
    dispatch = {c.policy: c for c in certificates if c.decision == "expert dispatch"}
    assert set(dispatch) == {"even", "random", "nearest", "optimal"}
    assert all(c.gap is not None and c.gap >= -1e-9 and c.advice for c in certificates)
    assert dispatch["optimal"].value == min(c.value for c in dispatch.values())
    json.dumps([c.to_json() for c in certificates], allow_nan=False)


def test_comparison_judges_on_the_half_it_did_not_choose_on() -> None:
    loads = dirichlet_loads(np.random.default_rng(0), layers=1, experts=8, batches=5, batch_tokens=32, top_k=2)
    found = compare(loads, ExpertOptions(2, 2, search=SearchOptions(effort=0.02)))
    assert found.judged.batches == 3
    assert np.array_equal(found.judged.tokens, loads.tokens[2:])
