"""Every form of expert loads is read for what it says, and nothing else passes silently."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadowprice.errors import ExpertError, ShadowpriceError
from shadowprice.experts import ExpertLoads, Routing, read_loads
from shadowprice.experts.readers.torch_file import read_torch

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "data"  # written by torch.save of torch 2.13, in the forms of SGLang's recorder
REAL = HERE.parents[2] / "shared" / "data"

COUNTS = np.array([[3, 0, 5], [1, 2, 9]])


def counts_of(path: Path, **options: object) -> ExpertLoads:
    loads = read_loads(path, **options)  # type: ignore[arg-type]
    assert isinstance(loads, ExpertLoads)
    return loads


def encoded(ids: np.ndarray) -> str:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.save(buffer, ids)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("matrix.csv", "3,0,5\n1,2,9\n"),
        ("header.csv", "e0,e1,e2\n3,0,5\n1,2,9\n"),
        ("layer.csv", "layer,e0,e1,e2\n0,3,0,5\n1,1,2,9\n"),
        ("long.csv", "layer,expert,count\n0,0,3\n0,2,5\n1,0,1\n1,1,2\n1,2,9\n"),
        ("plain.json", "[[3, 0, 5], [1, 2, 9]]"),
        ("sglang.json", '{"logical_count": [[3, 0, 5], [1, 2, 9]]}'),
        ("ids.csv", "layer_id,expert_id,count\n0,0,3\n0,2,5\n1,0,1\n1,1,2\n1,2,9\n"),
        ("ranks.csv", "rank,layer,expert,count\n0,0,0,3\n0,0,2,5\n1,1,0,1\n0,1,1,2\n0,1,2,4\n1,1,2,5\n"),
        ("rows.jsonl", "[3, 0, 5]\n[1, 2, 9]\n"),
        (
            "counts.jsonl",
            '{"layer": 0, "expert": 0, "count": 3}\n{"layer_id": 0, "expert": 2, "count": 5}\n\n'
            '{"layer": 1, "expert": 0, "count": 1}\n{"layer": 1, "expert_id": 1, "count": 2.0}\n'
            '{"layer": 1, "expert": 2, "count": 9}\n',
        ),
    ],
)
def test_every_text_form_gives_the_same_counts(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    loads = counts_of(tmp_path / name)
    assert loads.tokens.tolist() == [COUNTS.tolist()]
    assert loads.layer_ids.tolist() == [0, 1]


def test_counts_of_ranks_add_up(tmp_path: Path) -> None:
    (tmp_path / "rank0.csv").write_text("layer_id,expert_id,count\n3,0,5\n3,1,2\n4,1,1\n")
    (tmp_path / "rank1.csv").write_text("layer_id,expert_id,count\n3,0,7\n4,2,4\n")
    loads = counts_of(tmp_path)
    assert loads.tokens.tolist() == [[[12, 2, 0], [0, 1, 4]]] and loads.layer_ids.tolist() == [3, 4]
    (tmp_path / "rank2.csv").write_text("1,2\n")
    with pytest.raises(ExpertError, match=r"rank2.csv:1: columns 1, 2; also needed: layer, expert, count"):
        read_loads(tmp_path)


def test_one_flat_layer_is_a_layer(tmp_path: Path) -> None:
    (tmp_path / "flat.json").write_text("[3, 0, 5]")
    np.save(tmp_path / "flat.npy", np.array([3, 0, 5]))
    for name in ("flat.json", "flat.npy"):
        assert counts_of(tmp_path / name).tokens.tolist() == [[[3, 0, 5]]]


def test_averages_are_taken_as_the_sums_that_they_come_from(tmp_path: Path) -> None:
    sums = np.array([[26, 0, 40], [7, 1511, 9]])
    (tmp_path / "a.json").write_text(json.dumps((sums / 7).tolist()))
    np.savetxt(tmp_path / "a.csv", sums / 7, delimiter=",")
    for name in ("a.json", "a.csv"):
        loads = counts_of(tmp_path / name)
        assert loads.tokens.tolist() == [sums.tolist()]
        assert loads.notes == ("counts are averages of 7 batches: taken as their sums",)
    np.save(tmp_path / "b.npy", np.array([[np.pi, 1.0]]))
    loads = counts_of(tmp_path / "b.npy")
    assert loads.tokens.tolist() == [[[3142, 1000]]] and loads.notes == (
        "counts are averages: taken 1,000 times, rounded",
    )


def test_vllms_log_of_balance_is_said_to_hold_no_experts(tmp_path: Path) -> None:
    line = "INFO [eplb_state.py] EPLB step: {} for model m: avg_tokens=100.00, max_tokens={}, balancedness=0.6\n"
    (tmp_path / "vllm.log").write_text("INFO started\n" + line.format(1, 150) + line.format(2, 170))
    with pytest.raises(ExpertError, match=r"2 steps, the largest over the mean load 1\.600 in the mean, but no expert"):
        read_loads(tmp_path / "vllm.log")


def test_cases_of_others_are_read_whole() -> None:
    cases = HERE.parents[2] / "shared" / "cases" / "experts"
    rank, averaged = counts_of(cases / "sglang_rank0.csv"), counts_of(cases / "float_counts.json")
    dumped, flat = counts_of(cases / "moe_dump.jsonl"), counts_of(cases / "eplb_readme.json")
    assert rank.tokens.shape == (1, 6, 256) and rank.layer_ids.tolist()[0] == 3 and rank.tokens[0, 0, 1] == 39
    assert averaged.tokens.shape == (1, 4, 160) and averaged.tokens[0, 0, :3].tolist() == [26, 40, 1510]
    assert dumped.tokens.shape == (1, 3, 16) and dumped.tokens[0, 0, :3].tolist() == [86, 85, 64]
    assert flat.tokens.shape == (1, 2, 12)


def test_arrays_of_counts_are_read_from_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COUNTS)
    np.savez(tmp_path / "b.npz", counts=np.stack([COUNTS, 2 * COUNTS]))
    assert counts_of(tmp_path / "a.npy").tokens.tolist() == [COUNTS.tolist()]
    assert counts_of(tmp_path / "b.npz").tokens.tolist() == [COUNTS.tolist(), (2 * COUNTS).tolist()]


def test_batches_and_models_of_a_long_csv_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("model,domain,layer,expert,count\na,x,7,0,3\na,y,7,1,4\nb,x,0,0,9\n")
    loads = counts_of(path, model="a")
    assert loads.tokens.tolist() == [[[3, 0]], [[0, 4]]]
    assert loads.layer_ids.tolist() == [7]
    with pytest.raises(ExpertError, match=r"counts of 2 models; name one of: a, b"):
        read_loads(path)


def test_idle_layers_and_batches_are_left_out_and_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[[1, 2], [0, 0]], [[0, 0], [0, 0]]]))
    loads = counts_of(tmp_path / "a.npy")
    assert loads.tokens.tolist() == [[[1, 2]]]
    assert loads.notes == ("1 batches without tokens left out", "layers without tokens left out: 1")


def test_vllm_answers_give_routing_and_dense_layers_are_left_out(tmp_path: Path) -> None:
    ids = np.array([[[0, 0], [1, 3]], [[0, 0], [2, 0]]], np.uint8)  # layer 0 is dense
    answer = {"choices": [{"index": 0, "routed_experts": encoded(ids)}, {"index": 1, "routed_experts": None}]}
    for name, text in (("one.json", json.dumps(answer)), ("log.jsonl", json.dumps(answer) + "\n" + json.dumps(answer))):
        (tmp_path / name).write_text(text)
        routing = read_loads(tmp_path / name, experts=6)
        assert isinstance(routing, Routing)
        assert routing.experts == 6
        assert routing.layer_ids.tolist() == [1]
        assert routing.expert[:2].tolist() == [[[1, 3]], [[2, 0]]]
        assert "layers without experts left out: 0" in routing.notes
        assert any("answers without routed_experts left out" in note for note in routing.notes)


def test_sglang_statistics_are_read_without_torch() -> None:
    loads = counts_of(RECORDS / "sglang_stat.pt")
    assert loads.tokens[:, 0].tolist() == [[0, 1, 2, 3], [12, 13, 14, 15]]
    assert loads.layer_ids.tolist() == [0, 2]


def test_sglang_passes_are_added_over_ranks_and_replicas(tmp_path: Path) -> None:
    for name in ("sglang_pass_rank0.pt", "sglang_pass_rank1.pt"):
        (tmp_path / name).write_bytes((RECORDS / name).read_bytes())
    loads = counts_of(tmp_path)
    # slots hold experts 0,1,2,0 and 2,1,0,1; the second rank counted one more in every slot
    assert loads.tokens[0].tolist() == [[3 + 9, 5, 7], [15, 13 + 17, 11]]
    assert loads.batches == 2


def test_torch_files_with_strides_are_read_in_order() -> None:
    assert read_torch(RECORDS / "transposed.pt")["logical_count"].tolist() == (
        np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1).tolist()
    )


def test_code_in_a_torch_file_is_refused_not_run() -> None:
    with pytest.raises(ExpertError, match=r"module.pt: the file names .*; expected tensors of numbers"):
        read_torch(RECORDS / "module.pt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("1,2\n3,x\n", r":2: column 2 is 'x'; expected a whole number >= 0"),
        ("1,2\n3,-4\n", r":2: column 2 is '-4'"),
        ("1,2\n3\n", r":2: 1 columns; the row before has 2"),
        ("0,0\n0,0\n", "every count is 0"),
        ("layer,expert,count\n0,0,1\n0,0,2\n", r":3: layer 0 has this expert's count already"),
        ("layer,expert,tokens\n0,0,1\n", r":1: columns layer, expert, tokens; also needed: count"),
        ("expert,count\n0,1\n", r":1: columns expert, count; also needed: layer"),
        ("{}", "keys none; expected one of logical_count"),
        ('{"choices": [{}]}', "no answer has routed_experts"),
        ('{"choices": [{"routed_experts": "%%%"}]}', r"choices\[0\].routed_experts: not an .npy file"),
        ('{"logical_count": [[1, 2], [3]]}', "rows of unequal length"),
        ('{"logical_count": [[-0.5, 2]]}', "expected >= 0"),
        ('{"logical_count": [[NaN, 2]]}', "expert 0: nan; expected a number of tokens"),
        (
            '{"layer": 0, "expert": 1, "count": 2}\n{"layer": 0, "expert": 2}\n',
            ":2: keys layer, expert; also needed: count",
        ),
        ('{"layer": 0, "expert": 1, "count": 2}\n{"layer": 0, "expert": 1, "count": 2}\n', ":2: layer 0 has this"),
        ('{"layer": 0, "expert": "a", "count": 2}\n[1]\n', r":1: expert is 'a'; expected a whole number >= 0"),
        ("[1, 2]\n[3]\n", "rows of unequal length"),
        ("[1, 2]\n{\n", r":2: not JSON"),
        ("[[1, 2", "not JSON"),
    ],
)
def test_bad_text_is_an_error_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(ExpertError, match=message) as caught:
        read_loads(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match=r"nothing\.csv: no such file"):
        read_loads(tmp_path / "nothing.csv")


SEEDS = [
    b"3,0,5\n1,2,9\n",
    b"layer,expert,count\n0,0,3\n",
    b'{"logical_count": [[3, 0], [1, 2]]}',
    json.dumps({"choices": [{"routed_experts": encoded(np.ones((2, 1, 2), np.uint8))}]}).encode(),
    (RECORDS / "sglang_stat.pt").read_bytes(),
    (RECORDS / "sglang_pass_rank0.pt").read_bytes(),
]


def test_an_npy_header_cut_in_the_middle_of_a_line_is_refused(tmp_path: Path) -> None:
    """numpy lets an error of its tokenizer through for these bytes."""
    whole = encoded(np.ones((2, 1, 2), np.uint8))
    cut = base64.b64encode(base64.b64decode(whole)[:10] + b"{'descr': '|u1', 'shape': (2, " + b" " * 88).decode()
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"choices": [{"routed_experts": cut}]}))
    with pytest.raises(ExpertError, match=r"answers\.json:1: choices\[0\]\.routed_experts: not an \.npy"):
        read_loads(path)


def test_an_archive_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "counts.npz"
    np.savez(path, counts=np.ones((2, 3), np.int64))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99  # the version needed to extract
    path.write_bytes(data)
    with pytest.raises(ExpertError, match=r"counts\.npz: damaged: zip file version 9\.9"):
        read_loads(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 4)), max_size=5),
)
def test_damaged_files_are_read_or_refused_with_an_expert_error(
    tmp_path: Path, start: bytes, edits: list[tuple[float, bytes, int]]
) -> None:
    data = start
    for where, new, dropped in edits:
        at = int(where * len(data))
        data = data[:at] + new + data[at + dropped :]
    path = tmp_path / "damaged"
    path.write_bytes(data)
    try:
        assert isinstance(read_loads(path), ExpertLoads | Routing)
    except ShadowpriceError as error:
        assert str(path) in str(error)


@pytest.mark.skipif(not REAL.exists(), reason="real routing data (../shared/data) is not here")
def test_real_routing_and_counts_are_read_whole() -> None:
    routing = read_loads(REAL / "moe_routing_gptoss20b_dev.npz")
    assert isinstance(routing, Routing)
    assert routing.expert.shape == (39_544, 24, 4)
    assert routing.experts == 32
    batches = routing.in_batches(2048)
    assert batches.tokens.sum() == 19 * 2048 * 24 * 4
    assert batches.notes[-1] == "the last 632 tokens fill no batch and are left out"
    loads = counts_of(REAL / "extras" / "moe_expert_counts_olmoe_mixtral.csv", model="mixtral")
    assert loads.tokens.shape == (5, 3, 8)
    assert loads.layer_ids.tolist() == [0, 7, 15] or len(loads.layer_ids) == 3
