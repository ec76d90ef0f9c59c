import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_files import assert_same_columns, full_trace

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_trace, write_trace

ENDINGS = [".csv", ".jsonl", ".parquet", ".csv.gz", ".csv.zst", ".jsonl.gz", ".jsonl.zst"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_column_comes_back_exactly(tmp_path, ending):
    trace = full_trace(50)
    write_trace(trace, tmp_path / f"full{ending}")
    again = read_trace(tmp_path / f"full{ending}")
    assert_same_columns(trace, again)
    assert again.name == "full" and again.notes == ()


@pytest.mark.parametrize("ending", ENDINGS)
def test_absent_columns_stay_absent(tmp_path, ending):
    trace = Trace(np.array([0.1, 0.2]), np.array([1, 2]), np.array([3, 4]))
    write_trace(trace, tmp_path / f"bare{ending}")
    assert_same_columns(trace, read_trace(tmp_path / f"bare{ending}"))


@settings(max_examples=100, deadline=None)
@given(
    times=st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=5),
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5),
    ending=st.sampled_from([".csv", ".jsonl", ".parquet"]),
)
def test_every_float_comes_back_exactly(times, values, ending):
    n = len(times)
    trace = Trace(np.sort(times), np.arange(n) + 1, np.arange(n) + 1, value=np.array(values[:n]))
    with tempfile.TemporaryDirectory() as folder:
        write_trace(trace, Path(folder) / f"t{ending}")
        assert_same_columns(trace, read_trace(Path(folder) / f"t{ending}"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_trace_gives_the_same_bytes(tmp_path, ending):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_trace(full_trace(), tmp_path / folder / f"t{ending}")
    assert (tmp_path / "a" / f"t{ending}").read_bytes() == (tmp_path / "b" / f"t{ending}").read_bytes()


def test_an_unknown_ending_or_folder_is_an_error(tmp_path):
    for name in ("t.txt", "t", "t.parquet.gz"):
        with pytest.raises(TraceError, match=r"unknown ending; expected \.parquet"):
            write_trace(full_trace(), tmp_path / name)
    with pytest.raises(TraceError, match="cannot be written"):
        write_trace(full_trace(), tmp_path / "absent" / "t.csv")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    write_trace(full_trace(), path)
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shadowprice.workload.write._write_csv", full_disk)
    with pytest.raises(TraceError, match="No space left"):
        write_trace(full_trace(9), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_parquet_file_with_a_wrong_column_is_an_error(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    good = {"arrival_s": [0.0, 1.0], "prompt_tokens": [1, 2], "output_tokens": [1, 2]}
    cases = [
        ({"output_tokens": ["a", "b"]}, "output_tokens is string; expected a whole number"),
        ({"output_tokens": [1, None]}, ":2: output_tokens holds a null"),
        ({"output_tokens": [1, 0]}, ":2: output_tokens is 0; expected a whole number from 1"),
        ({"arrival_s": [0.0, float("nan")]}, ":2: arrival_s is nan; expected a finite number"),
        ({"output_tokens": [1.0, 2.5]}, "output_tokens is double; expected a whole number"),
    ]
    for change, message in cases:
        parquet.write_table(pa.table(good | change), tmp_path / "t.parquet")
        with pytest.raises(TraceError, match=message):
            read_trace(tmp_path / "t.parquet")
    del good["output_tokens"]
    parquet.write_table(pa.table(good), tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="no column output_tokens; found arrival_s, prompt_tokens"):
        read_trace(tmp_path / "t.parquet")


def test_prefix_needs_one_block_size(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens,prefix\n0,9,1,5\n")
    with pytest.raises(TraceError, match="need each other"):
        read_trace(path)
    path.write_text("arrival_s,prompt_tokens,output_tokens,prefix,prefix_block_tokens\n0,9,1,5,4\n1,9,1,5,8\n")
    with pytest.raises(TraceError, match=":3: prefix_block_tokens is 8; expected the 4 of the first row"):
        read_trace(path)


def test_notes_are_not_columns(tmp_path):
    write_trace(replace(full_trace(), notes=("x",), skipped_rows=3), tmp_path / "t.csv")
    again = read_trace(tmp_path / "t.csv")
    assert again.notes == () and again.skipped_rows == 0
