"""Whatever bytes a file holds, a reader returns a trace or raises TraceError."""

import gzip
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_files import SAMPLES, assert_same_columns, full_trace

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_measured, read_trace, write_trace
from shadowprice.workload.readers import csv_rows

PIECES = [
    b'"',
    b",",
    b"\n",
    b"\r",
    b"-",
    b"nan",
    b"1e999",
    b"0x1F",
    b"\0",
    b"9" * 25,
    b"[",
    b"{",
    b"}",
    b"null",
    b"true",
]
PIECES += [b";", b" ", b"\xff", b"\xef\xbb\xbf", b"1e18", b"9223372036854775807", b"0", b"-1", b".5", b"\xff\xfe"]


def read(data: bytes, skip_bad_rows: bool) -> Trace | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(data)
        try:
            return read_trace(path, skip_bad_rows=skip_bad_rows)
        except TraceError as error:
            assert str(path) in str(error)
            return None


def packed_samples() -> dict[str, bytes]:
    samples = dict(SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("csv", "jsonl", "parquet"):
            path = Path(folder) / f"full.{ending}"
            write_trace(full_trace(), path)
            samples[path.name] = path.read_bytes()
    samples["a.gz"] = gzip.compress(SAMPLES["azure.csv"])
    samples["a.zst"] = pa.compress(SAMPLES["azure.csv"], codec="zstd", asbytes=True)
    return samples


PACKED = packed_samples()


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A valid file after a few cuts, insertions and overwritten bytes."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 20))
        kind = draw(st.sampled_from(["insert", "byte", "delete", "cut", "repeat"]))
        if kind == "insert":
            data = data[:at] + draw(st.sampled_from(PIECES)) + data[at:]
        elif kind == "byte":
            data = data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at + 1 :]
        elif kind == "delete":
            data = data[:at] + data[at + length :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[at : at + 3 * length] + data[at:]
    return data


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), skip=st.booleans())
def test_random_bytes_raise_only_trace_errors(data, skip):
    read(data, skip)


@pytest.mark.parametrize("name", PACKED)
@settings(max_examples=100, deadline=None)
@given(draw=st.data(), skip=st.booleans())
def test_mutated_files_raise_only_trace_errors(name, draw, skip):
    read(draw.draw(mutated(PACKED[name])), skip)


@pytest.mark.parametrize("name", PACKED)
def test_files_cut_anywhere_raise_only_trace_errors(name):
    data = PACKED[name]
    for end in range(0, len(data), max(1, len(data) // 150)):
        read(data[:end], False)


LOGS = ("measured.jsonl", "vllm_bench.json", "guidellm.json", "inference_perf.json", "aiperf.jsonl", "otlp.json")


@pytest.mark.parametrize("name", LOGS)
@settings(max_examples=100, deadline=None)
@given(draw=st.data())
def test_mutated_measured_logs_raise_only_trace_errors(name, draw):
    data = draw.draw(mutated(SAMPLES[name]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(data)
        try:
            log = read_measured(path)
        except TraceError:
            return
        assert len(log.trace) == len(log.queued_s) == len(log.last_token_s)


def assert_read_alike_by_both(data):
    """By Arrow with its strict reader for what it would mistake, and by the strict reader alone."""
    fast = read(data, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_read_fast", lambda *_: None)
        slow = read(data, False)
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert_same_columns(fast, slow)


@pytest.mark.parametrize("name", [name for name in PACKED if name.endswith(".csv")])
@settings(max_examples=60, deadline=None)
@given(draw=st.data())
def test_what_arrow_accepts_the_line_reader_reads_equally(name, draw):
    data = draw.draw(mutated(PACKED[name]))
    assert_read_alike_by_both(data)


@pytest.mark.parametrize("cell", [b'"1".5', b'"1"5', b'"1,".5', b'1"5"', b'"1" '])
@pytest.mark.parametrize("column", [0, 3])
def test_what_stands_behind_a_quoted_string_is_read_alike_by_both(cell, column):
    cells = [b"1.5", b"30", b"1", b"-1"]
    cells[column] = cell
    data = b"arrival_s,prompt_tokens,output_tokens,session\n0.5,10,20,3\n" + b",".join(cells) + b"\n"
    assert_read_alike_by_both(data)


def test_a_number_after_an_empty_quoted_string_is_refused():
    """Found by the test above: Arrow reads ""1166 as 1166."""
    head = b"arrival_s,prompt_tokens,output_tokens\n0.5,90,6\n"
    assert read(head + b'0.7,"1166",6\n', False) is not None
    assert read(head + b'0.7,""1166,6\n', False) is None
