"""A trace is never taken for another form, and blocks of prefix hashes have the size that their lengths tell."""

import json
from pathlib import Path

import numpy as np
import pytest
from trace_files import BAILIAN, MOONCAKE_SESSIONS

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_trace

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "traces"


def read(tmp_path: Path, data: bytes, **options: object) -> Trace:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(data)
    return read_trace(path, **options)  # type: ignore[arg-type]


def case(name: str) -> Path:
    path = CASES / name
    if not path.exists():
        pytest.skip(f"needs {name} in ../shared/cases/traces")
    return path


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def mooncake(size: int, count: int, seed: int = 0, **more: object) -> bytes:
    """Prompts of up to twenty blocks of this size, every block hashed, also the last, partly filled one."""
    lengths = np.random.default_rng(seed).integers(1, 20 * size, count).tolist()
    return lines(
        *(
            {"timestamp": 40 * k, "input_length": n, "output_length": 3, "hash_ids": list(range(-(-n // size))), **more}
            for k, n in enumerate(lengths)
        )
    )


def test_bailian_seconds_are_seconds_and_linked_chats_one_session(tmp_path: Path) -> None:
    trace = read(tmp_path, BAILIAN)
    assert trace.arrival_s.tolist() == [0.5, 1.25, 9.75, 12.0]
    assert trace.session is not None and trace.session.tolist() == [0, 1, 0, 1]  # 99 is not in the file
    assert trace.prefix_block_tokens == 16
    assert any("read as Qwen-Bailian JSONL: timestamp in seconds" in note for note in trace.notes)


def test_bailian_prompts_of_one_block_are_not_taken_for_mooncake(tmp_path: Path) -> None:
    """Its fields hold those of Mooncake, whose times are milliseconds; dropping rows must not change that."""
    rows = [json.loads(line) for line in BAILIAN.splitlines()]
    short = [{**row, "input_length": 9, "hash_ids": row["hash_ids"][:1]} for row in rows]
    for skip in (False, True):
        assert read(tmp_path, lines(*short), skip_bad_rows=skip).span_s == 11.5
    spoilt = [{**row, "hash_ids": list(range(40))} if k == 1 else row for k, row in enumerate(short)]
    trace = read(tmp_path, lines(*spoilt), skip_bad_rows=True)
    assert (trace.span_s, trace.skipped_rows) == (11.5, 1)


def test_a_form_with_fields_of_another_is_refused(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in BAILIAN.splitlines()]
    for row in rows:
        del row["chat_id"]
    with pytest.raises(TraceError, match=r"no known trace format.*Qwen-Bailian JSONL, which also needs chat_id"):
        read(tmp_path, lines(*rows))


@pytest.mark.parametrize("times", [[0.25, 1.5], [1700000000, 1700000001]])
def test_seconds_under_mooncakes_names_are_refused_with_the_way_on(tmp_path: Path, times: list[float]) -> None:
    data = lines(*({"timestamp": t, "input_length": 9, "output_length": 2} for t in times))
    with pytest.raises(TraceError, match=r":1: timestamp is .*looks like seconds.*--columns arrival=timestamp:s"):
        read(tmp_path, data)
    given = read(tmp_path, data, columns="arrival=timestamp:s,prompt=input_length,output=output_length")
    assert given.span_s == times[1] - times[0]


def test_mooncake_turns_with_a_delay_follow_the_turn_before(tmp_path: Path) -> None:
    trace = read(tmp_path, MOONCAKE_SESSIONS)
    assert trace.arrival_s.tolist() == [0.1, 0.15, 0.6]
    assert trace.session is not None and trace.session.tolist() == [1, 0, 1]
    assert any("1 turns give a delay instead of a time" in note for note in trace.notes)
    with pytest.raises(TraceError, match=r":3: timestamp is nan; expected milliseconds, or a delay"):
        read(tmp_path, MOONCAKE_SESSIONS.replace(b'"delay": 500', b'"pause": 500'))


@pytest.mark.parametrize("size", [16, 24, 32, 64, 128, 256, 512, 528, 1024])
def test_the_size_of_a_block_is_inferred_from_the_lengths(tmp_path: Path, size: int) -> None:
    trace = read(tmp_path, mooncake(size, 200))
    assert trace.prefix_block_tokens == size
    assert any(f"prefix hashes of blocks of {size} tokens" in note for note in trace.notes)


def test_a_given_size_of_a_block_comes_first_and_is_checked(tmp_path: Path) -> None:
    data = mooncake(64, 50)
    assert read(tmp_path, data, block_tokens=32).prefix_block_tokens == 32
    with pytest.raises(TraceError, match="at most one hash per 128 tokens of input_length"):
        read(tmp_path, data, block_tokens=128)
    with pytest.raises(TraceError, match="block_tokens is 0; expected a whole number from 1"):
        read(tmp_path, data, block_tokens=0)


def test_bad_rows_do_not_change_the_inferred_size(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in mooncake(64, 100).splitlines()]
    rows[30]["hash_ids"] = list(range(5000))
    trace = read(tmp_path, lines(*rows), skip_bad_rows=True)
    assert (trace.prefix_block_tokens, trace.skipped_rows) == (64, 1)
    with pytest.raises(TraceError, match=r":\d+: hash_ids is .*; expected at most one hash per 512 tokens"):
        read(tmp_path, lines(*rows))


def test_the_published_size_is_kept_where_short_prompts_allow_others(tmp_path: Path) -> None:
    data = lines(*({"timestamp": k, "input_length": 40 + k, "output_length": 1, "hash_ids": [k]} for k in range(20)))
    assert read(tmp_path, data).prefix_block_tokens == 512


@pytest.mark.parametrize(
    ("name", "requests", "rate_per_s", "block"),
    [
        ("qwen_traceB_like_blksz_16.jsonl", 200, 3.6, 16),
        ("aiperf_mooncake_block64.jsonl", 2000, 3.6, 64),
        ("vllm_bench_serve_detailed.json", 300, 10.0, 0),
        ("guidellm_benchmarks.json", 100, 5.0, 0),
    ],
)
def test_public_forms_are_read_with_the_rate_that_they_have(
    name: str, requests: int, rate_per_s: float, block: int
) -> None:
    trace = read_trace(case(name))
    assert len(trace) == requests and trace.prefix_block_tokens == block
    assert trace.rate_per_s == pytest.approx(rate_per_s, rel=0.02)


def test_whole_seconds_are_spread_where_they_are_sparse() -> None:
    trace = read_trace(case("BurstGPT_3_like.csv"), skip_bad_rows=True)
    assert np.all(np.diff(trace.arrival_s) > 0)
    assert any("times come in steps of about 1 s; arrivals were spread" in note for note in trace.notes)
    kept = read_trace(case("BurstGPT_3_like.csv"), skip_bad_rows=True, spread_buckets=False)
    assert np.all(kept.arrival_s == np.floor(kept.arrival_s)) and np.any(np.diff(kept.arrival_s) == 0)
    assert np.array_equal(np.floor(trace.arrival_s), kept.arrival_s)


def test_an_offline_batch_is_all_at_0_and_says_what_it_lacks() -> None:
    trace = read_trace(case("servegen_offline_a.jsonl"))
    assert (len(trace), trace.arrival_s.max(), trace.prefix_block_tokens) == (50, 0, 16)
    assert any("no output lengths" in note for note in trace.notes)
    assert any("a batch without arrivals, all at 0" in note for note in trace.notes)
