import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from trace_files import (
    AGENTIC,
    AZURE,
    AZURE_2024,
    BURSTGPT,
    BURSTGPT_SESSIONS,
    MOONCAKE,
    SAMPLES,
    SERVEGEN,
    assert_same_columns,
    real,
)

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_trace
from shadowprice.workload.readers import csv_rows, source


@pytest.fixture
def read(tmp_path: Path):
    def write_and_read(data: bytes, **options: object) -> Trace:
        path = tmp_path / "requests.txt"
        path.write_bytes(data)
        return read_trace(path, **options)

    return write_and_read


def test_azure_2023_times_count_from_the_first_request(read):
    trace = read(AZURE)
    np.testing.assert_allclose(trace.arrival_s, [0, 4.314579, 4.541877], atol=1e-9)
    assert trace.prompt_tokens.tolist() == [374, 396, 879]
    assert trace.output_tokens.tolist() == [44, 109, 55]
    assert trace.prompt_tokens.dtype == trace.output_tokens.dtype == np.int64
    assert trace.notes == ("read as Azure LLM inference CSV: TIMESTAMP as dates, from the first",)
    assert trace.skipped_rows == 0 and trace.name == "requests"


def test_azure_2024_times_with_a_zone_and_without_fraction_are_read(read):
    np.testing.assert_allclose(read(AZURE_2024).arrival_s, [0, 0.041683, 1.157988], atol=1e-9)


def test_multimodal_images_are_counted_and_their_missing_sizes_are_said(read):
    trace = read(SAMPLES["multimodal.csv"])
    assert [len(trace.media_tokens[i]) for i in range(2)] == [0, 2]
    assert "not published" in trace.notes[0]


def test_mooncake_blocks_are_512_tokens_and_times_milliseconds(read):
    trace = read(MOONCAKE)
    assert trace.arrival_s.tolist() == [27.482, 30.535]
    assert trace.prefix_block_tokens == 512
    assert trace.prefix[1].tolist() == [46, 47, 2366]


def test_mooncake_with_more_hashes_than_blocks_is_refused(read):
    with pytest.raises(TraceError, match=r":2: hash_ids is \[46, 47, 2366\]; expected at most one hash per 512 tokens"):
        read(MOONCAKE.replace(b"6472", b"1024"))


def test_burstgpt_failed_requests_are_an_error_or_counted(read):
    failed = BURSTGPT.replace(b",230,", b",0,")
    with pytest.raises(
        TraceError, match=r"requests.txt:3: Response tokens is 0; expected .* from 1 to .*--skip-bad-rows"
    ):
        read(failed)
    trace = read(failed, skip_bad_rows=True)
    assert trace.skipped_rows == 1 and trace.arrival_s.tolist() == [5, 118]


def test_burstgpt_sessions_become_codes_and_no_session_is_minus_one(read):
    assert read(BURSTGPT_SESSIONS).session.tolist() == [1, -1, 0, 1]


def test_servegen_prompt_holds_text_and_images(read):
    trace = read(SERVEGEN)
    assert trace.prompt_tokens.tolist() == [1800, 90, 1166 + 338 + 96 + 1264]
    assert trace.media_tokens[2].tolist() == [338, 96, 1264]
    assert trace.tenant.tolist() == [12, 5, 12]
    with pytest.raises(TraceError, match=r":4: image_tokens is .*; expected as many entries as num_images"):
        read(SERVEGEN.replace(b",3,338", b",2,338"))


def test_agentic_sessions_are_sorted_by_time_and_both_facts_are_said(read):
    trace = read(AGENTIC)
    assert trace.session.tolist() == [0, 7, 0]
    assert trace.cached_tokens.tolist() == [0, 0, 15808]
    assert any("sessions start together" in note for note in trace.notes)
    assert any("1 rows stood after a later one" in note for note in trace.notes)
    assert any("columns not used: agent, seq, model, new_input_tokens, stop" in note for note in trace.notes)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("packing", ["gzip", "zstd", "bom", "crlf", "blank lines", "no last line end"])
def test_packing_and_line_ends_do_not_change_a_trace(read, name, packing):
    data = SAMPLES[name]
    packed = {
        "gzip": lambda: gzip.compress(data),
        "zstd": lambda: pa.compress(data, codec="zstd", asbytes=True),
        "bom": lambda: b"\xef\xbb\xbf" + data,
        "crlf": lambda: data.replace(b"\n", b"\r\n"),
        "blank lines": lambda: data.replace(b"\n", b"\n\n") + b"\n\n",
        "no last line end": lambda: data.rstrip(b"\n"),
    }[packing]()
    assert_same_columns(read(packed), read(data))


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.endswith(".csv")])
def test_reading_line_by_line_gives_what_arrow_gives(read, name, monkeypatch):
    fast = read(SAMPLES[name])
    monkeypatch.setattr(csv_rows, "_read_fast", lambda *_: None)
    assert_same_columns(fast, read(SAMPLES[name]))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_size_of_blocks_does_not_matter(read, name, monkeypatch):
    whole = read(SAMPLES[name])
    monkeypatch.setattr(source, "BLOCK_BYTES", 7)
    assert_same_columns(whole, read(SAMPLES[name]))


AZURE_ERRORS = {
    "empty file": (b"", "the file is empty"),
    "header only": (AZURE.splitlines(True)[0], "a header and no rows"),
    "missing column": (
        AZURE.replace(b"GeneratedTokens", b"Generated"),
        ":1: .* nearest is Azure .* needs GeneratedTokens",
    ),
    "column twice": (AZURE.replace(b"GeneratedTokens", b"ContextTokens"), ":1: the column ContextTokens stands twice"),
    "wrong type": (AZURE.replace(b",109", b",abc"), r':3: GeneratedTokens is "abc"; expected a whole number from 1'),
    "fraction": (AZURE.replace(b",109", b",10.5"), r':3: GeneratedTokens is "10.5"; expected a whole number'),
    "negative": (AZURE.replace(b",109", b",-4"), ":3: GeneratedTokens is -4; expected a whole number from 1"),
    "zero": (AZURE.replace(b",396,", b",0,"), ":3: ContextTokens is 0; expected a whole number from 1"),
    "not a number": (AZURE.replace(b",396,", b",NaN,"), ':3: ContextTokens is "NaN"; expected a whole number'),
    "empty cell": (AZURE.replace(b",396,", b",,"), ':3: ContextTokens is ""; expected a whole number'),
    "hexadecimal": (AZURE.replace(b",396,", b",0x10,"), ':3: ContextTokens is "0x10"; expected a whole number'),
    "huge": (AZURE.replace(b",396,", b",99999999999999999999,"), ":3: ContextTokens is .9999"),
    "month 13": (
        AZURE.replace(b"2023-11-16 18:15:50", b"2023-13-16 18:15:50"),
        ":3: TIMESTAMP is .2023-13-16.*expected a time",
    ),
    "no time": (AZURE.replace(b"2023-11-16 18:15:50.9951690", b"NaN"), ':3: TIMESTAMP is "NaN"; expected a time'),
    "cut mid-line": (AZURE[:-7], r":4: 2 fields; expected 3: .*the file ends inside this line: was it cut off"),
    "too many fields": (AZURE.replace(b",109", b",109,5"), ":3: 4 fields; expected 3"),
    "latin-1": (AZURE.replace(b",109", b",10\xe9"), ":3: byte 34 of the line is 0xe9; expected UTF-8"),
    "utf-16": (AZURE.decode().encode("utf-16"), ":1: byte 0: the text is UTF-16; expected UTF-8"),
    "open quote": (AZURE.replace(b",109", b',"109'), ":3: .*"),
    "cut gzip": (gzip.compress(AZURE)[:-20], r":1: the file is damaged or cut off"),
    "cut zstd": (pa.compress(AZURE, codec="zstd", asbytes=True)[:-6], r":1: the file is damaged or cut off"),
    "unknown columns": (b"a,b\n1,2\n", r":1: no known trace format has the columns found \(a, b\)"),
    "json array": (b"[1, 2]", ":1: a JSON array; expected one JSON object per line"),
    "broken parquet": (b"PAR1" + bytes(40), "not a readable Parquet file"),
}


@pytest.mark.parametrize("case", AZURE_ERRORS)
def test_bad_csv_names_file_line_and_field(read, case):
    data, message = AZURE_ERRORS[case]
    with pytest.raises(TraceError, match=message) as caught:
        read(data)
    assert "requests.txt" in str(caught.value)


JSONL_ERRORS = {
    "wrong type": (MOONCAKE.replace(b"6472", b'"abc"'), r':2: input_length is "abc"; expected int'),
    "zero": (MOONCAKE.replace(b"26,", b"0,"), r":2: output_length is 0; expected int >= 1"),
    "missing field": (MOONCAKE.replace(b"output_length", b"output", 2), ":1: no known trace format .* output_length"),
    "missing in row 2": (MOONCAKE.replace(b'26, "hash_ids"', b'26, "hash"'), ":2: .*hash_ids"),
    "infinite": (MOONCAKE.replace(b"30535", b"1e999"), ":2: .*out of range"),
    "hash too large": (MOONCAKE.replace(b"2366", b"2" * 30), ":2: hash_ids is"),
    "cut mid-line": (MOONCAKE[:-9], ":2: not one JSON object"),
    "two in a line": (MOONCAKE.replace(b"}\n", b"} ", 1), ":1: not one JSON object"),
    "latin-1": (MOONCAKE.replace(b"2366", b'"\xe9"'), ":2: "),
}


@pytest.mark.parametrize("case", JSONL_ERRORS)
def test_bad_jsonl_names_file_line_and_field(read, case):
    data, message = JSONL_ERRORS[case]
    with pytest.raises(TraceError, match=message) as caught:
        read(data)
    assert "requests.txt" in str(caught.value)


@pytest.mark.parametrize("case", [case for case in AZURE_ERRORS if AZURE_ERRORS[case][1].startswith((":3", ":4"))])
def test_skipping_drops_and_counts_exactly_the_bad_row(read, case):
    trace = read(AZURE_ERRORS[case][0], skip_bad_rows=True)
    assert (len(trace), trace.skipped_rows) == (2, 1)


def test_bad_rows_far_apart_are_found_by_halving_the_block(read, monkeypatch):
    monkeypatch.setattr(csv_rows, "SLOW_BYTES", 100)
    lines = AZURE.splitlines(True)
    rows = [lines[1]] * 700
    for at in (0, 333, 334, 699):
        rows[at] = b"cut\n"
    trace = read(lines[0] + b"".join(rows), skip_bad_rows=True)
    assert (len(trace), trace.skipped_rows) == (696, 4)
    rows[0] = lines[1]
    with pytest.raises(TraceError, match=r":335: 1 fields; expected 3"):
        read(lines[0] + b"".join(rows))


def test_a_file_of_bad_rows_only_is_an_error_even_when_skipping(read):
    with pytest.raises(TraceError, match="none of its 3 rows is usable"):
        read(AZURE.replace(b",374,", b",0,").replace(b",396,", b",0,").replace(b",879,", b",0,"), skip_bad_rows=True)
    with pytest.raises(TraceError, match="none of its 2 rows is usable"):
        read(MOONCAKE.replace(b": 52", b": 0").replace(b": 26", b": 0"), skip_bad_rows=True)


def test_the_first_bad_line_is_named_in_a_long_file_and_in_any_block(read, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1000)
    lines = AZURE.splitlines(True)
    rows = [lines[1]] * 500
    rows[398] = lines[1].replace(b",44", b",-1")
    rows[450] = b"cut\n"
    with pytest.raises(TraceError, match=":400: GeneratedTokens is -1"):
        read(lines[0] + b"".join(rows))
    trace = read(lines[0] + b"".join(rows), skip_bad_rows=True)
    assert (len(trace), trace.skipped_rows) == (498, 2)


def test_unsorted_rows_are_sorted_stably_and_said(read):
    data = b"arrival_s,prompt_tokens,output_tokens\n2,1,1\n1,2,1\n2,3,1\n1,4,1\n"
    trace = read(data)
    assert trace.prompt_tokens.tolist() == [2, 4, 1, 3]
    assert trace.notes == ("2 rows stood after a later one; the rows were sorted by time",)


def test_equal_times_are_fine(read):
    assert read(b"arrival_s,prompt_tokens,output_tokens\n1,1,1\n1,2,1\n").notes == ()


def bucketed(step_ms: int = 3000, buckets: int = 20, per_bucket: int = 10) -> bytes:
    row = '{{"timestamp": {}, "input_length": {}, "output_length": 2, "hash_ids": [1]}}\n'
    return "".join(row.format(step_ms * (i // per_bucket), i + 1) for i in range(buckets * per_bucket)).encode()


def test_bucketed_times_are_spread_inside_their_bucket_in_file_order(read):
    trace = read(bucketed())
    assert np.array_equal(trace.arrival_s // 3, np.arange(200) // 10)
    assert np.all(np.diff(trace.arrival_s) > 0)
    assert trace.prompt_tokens.tolist() == list(range(1, 201))
    assert "steps of about 3 s; arrivals were spread uniformly" in trace.notes[0]


def test_the_spread_follows_the_seed_and_can_be_turned_off(read):
    first, same, other = (read(bucketed(), seed=seed).arrival_s for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    kept = read(bucketed(), spread_buckets=False)
    assert set(kept.arrival_s) == set(3.0 * np.arange(20))
    assert "were kept so" in kept.notes[0]


def test_exact_times_are_never_spread(read):
    for data in (bucketed(step_ms=250), bucketed(per_bucket=1)):
        assert not any("steps" in note for note in read(data).notes)


def test_what_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="did you mean the public trace azure-2023-conv"):
        read_trace("azure-2023-con")
    with pytest.raises(TraceError, match="no such file"):
        read_trace("a\0b")


def test_the_real_azure_trace_has_19366_requests():
    trace = read_trace(real("azure2023_conv.csv"))
    assert len(trace) == 19366
    assert trace.prompt_tokens.sum() == 22_361_870 and trace.output_tokens.sum() == 4_088_665
    assert trace.span_s == pytest.approx(3501.721937)


def test_the_real_mooncake_trace_has_12031_requests_in_buckets_of_3_s():
    trace = read_trace(real("mooncake_conversation.jsonl"))
    assert len(trace) == 12031
    assert "2.997 s" in trace.notes[0]


def test_the_real_agentic_and_servegen_files_are_read():
    with pytest.raises(TraceError, match=":2069: output_tokens is 0"):
        read_trace(real("agentic_sessions_dev.csv"))
    agentic = read_trace(real("agentic_sessions_dev.csv"), skip_bad_rows=True)
    assert (len(agentic), agentic.skipped_rows) == (22404, 9)
    servegen = read_trace(real("servegen_mm_image_dev_1h.csv"))
    assert len(servegen) == 45300 and len(np.unique(servegen.tenant)) == 19
