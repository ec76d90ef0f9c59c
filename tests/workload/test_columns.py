"""Tables of any columns: told which mean what, or by names that people use; and what is said of times that are odd."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from trace_files import NAMED_CSV, NAMED_JSONL

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_trace

COLUMNS = "arrival=sent,prompt=question,output=answer"


def read(tmp_path: Path, data: bytes, columns: str | None = None, **options: bool) -> Trace:
    path = tmp_path / "requests.txt"
    path.write_bytes(data)
    return read_trace(path, columns=columns, **options)


def table(arrivals: list[object]) -> bytes:
    return "".join(
        ["sent,question,answer\n", *(f"{time},{5 + k},{k + 1}\n" for k, time in enumerate(arrivals))]
    ).encode()


@pytest.mark.parametrize(
    ("arrivals", "columns", "seconds", "said"),
    [
        ([3.5, 4.0], COLUMNS, [0, 0.5], "times taken as s, from the first"),
        ([3500, 4000], COLUMNS.replace("sent", "sent:ms"), [0, 0.5], "times taken as ms"),
        ([1.7e12, 1.7e12 + 500], COLUMNS, [0, 0.5], "ms, since they are too large for seconds"),
        ([1700000000000000, 1700000000500000], COLUMNS, [0, 0.5], "us, since"),
        (["2025-01-01 00:00:00", "2025-01-01T00:00:00.5"], COLUMNS, [0, 0.5], "times taken as dates"),
    ],
)
def test_the_columns_that_are_given_are_read(
    tmp_path: Path, arrivals: list[object], columns: str, seconds: list[float], said: str
) -> None:
    trace = read(tmp_path, table(arrivals), columns)
    assert trace.arrival_s == pytest.approx(seconds)
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([5, 6], [1, 2])
    assert said in trace.notes[-1] and "by the columns given: arrival from sent" in trace.notes[-1]


def test_the_end_of_a_name_says_the_unit(tmp_path: Path) -> None:
    data = table([3500, 4000]).replace(b"sent", b"sent_ms")
    assert read(tmp_path, data, COLUMNS.replace("sent", "sent_ms")).arrival_s.tolist() == [0, 0.5]


def test_given_columns_come_before_a_known_form(tmp_path: Path) -> None:
    data = b"arrival_s,prompt_tokens,output_tokens,later\n1,10,20,5\n2,30,1,9\n"
    assert read(tmp_path, data, "arrival=later,prompt=prompt_tokens,output=output_tokens").arrival_s.tolist() == [0, 4]


def test_json_and_parquet_are_read_by_given_columns_too(tmp_path: Path) -> None:
    rows = [
        {"sent": 3.5, "usage": {"in": 5, "out": 1}, "who": "a"},
        {"sent": 4.0, "usage": {"in": 6, "out": 2}, "who": "b"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    columns = "arrival=sent,prompt=usage.in,output=usage.out,tenant=who"
    for data in (lines, json.dumps(rows, indent=2).encode()):
        trace = read(tmp_path, data, columns)
        assert (trace.arrival_s.tolist(), trace.prompt_tokens.tolist()) == ([0, 0.5], [5, 6])
        assert trace.tenant is not None and trace.tenant.tolist() == [0, 1]
    dates = pa.array([1735689600_000_000, 1735689600_500_000], pa.timestamp("us"))
    path = tmp_path / "requests.parquet"
    parquet.write_table(pa.table({"sent": dates, "question": [5, 6], "answer": [1.0, 2.0]}), path)
    trace = read_trace(path, columns=COLUMNS)
    assert (trace.arrival_s.tolist(), trace.output_tokens.tolist()) == ([0, 0.5], [1, 2])


@pytest.mark.parametrize("data", [NAMED_CSV, NAMED_JSONL])
def test_names_that_people_use_are_understood_and_said(tmp_path: Path, data: bytes) -> None:
    trace = read(tmp_path, data)
    assert trace.prompt_tokens.tolist() == [10, 30]
    assert any("read by the names of its columns: arrival from" in note for note in trace.notes)


def test_a_name_that_two_columns_could_bear_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no known trace format.*--columns arrival=NAME"):
        read(tmp_path, NAMED_CSV.replace(b"user", b"timestamp"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("arrival", "columns are 'arrival'; expected arrival=NAME,prompt=NAME,output=NAME"),
        ("arrival=a,prompt=b", "columns do not say what output is"),
        ("arrivals=a,prompt=b,output=c", "columns name 'arrivals'; accepted: arrival, prompt, output"),
        ("arrival=a,prompt=question,output=answer", "no column 'a' for arrival; found sent, question, answer"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read(tmp_path, table([1, 2]), columns)


def test_bad_rows_of_a_mapped_table_are_errors_or_counted(tmp_path: Path) -> None:
    for data in (
        table([1, "soon", 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        "".join(json.dumps({"sent": t, "question": 5, "answer": 1}) + "\n" for t in [1, None, *range(3, 13)]).encode(),
    ):
        with pytest.raises(TraceError, match=r":[23]: sent is .*; expected"):
            read(tmp_path, data, COLUMNS)
        assert read(tmp_path, data, COLUMNS, skip_bad_rows=True).skipped_rows == 1


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_named(tmp_path: Path, separator: str, name: str) -> None:
    with pytest.raises(TraceError, match=f":1: the columns are separated by {name}; expected commas"):
        read(tmp_path, table([1, 2]).replace(b",", separator.encode()))


def test_dropping_more_than_a_tenth_is_said_first(tmp_path: Path) -> None:
    data = table([1, *["soon"] * 3, *range(2, 19)])
    trace = read(tmp_path, data, COLUMNS, skip_bad_rows=True)
    assert trace.notes[0].startswith("WARNING: 3 of 21 rows (14 %) could not be used and were dropped")
    few = read(tmp_path, table([1, *["soon"] * 2, *range(2, 20)]), COLUMNS, skip_bad_rows=True)
    assert not any("WARNING" in note for note in few.notes)


def test_a_rate_that_would_keep_a_thousand_workers_busy_is_remarked_on(tmp_path: Path) -> None:
    head = b"arrival_s,prompt_tokens,output_tokens\n"
    seconds = head + "".join(f"{k / 10},1000,200\n" for k in range(50)).encode()
    assert read(tmp_path, seconds).notes == ()
    milliseconds = head + "".join(f"{k / 100_000},1000,200\n" for k in range(50)).encode()
    assert "would keep a thousand workers busy" in read(tmp_path, milliseconds).notes[0]


def test_times_that_look_like_milliseconds_since_1970_are_remarked_on(tmp_path: Path) -> None:
    data = "".join(
        ["arrival_s,prompt_tokens,output_tokens\n", *(f"{1.7e12 + 250 * k},9,2\n" for k in range(4))]
    ).encode()
    trace = read(tmp_path, data)
    assert np.diff(trace.arrival_s).tolist() == [250] * 3
    assert "looks like milliseconds since 1970" in trace.notes[0]


def test_all_that_a_trace_holds_may_be_named(tmp_path: Path) -> None:
    data = b"at,in,out,guess,hit,who,team,rank,due,worth\n1,9,2,3,4,a,7,-1,5.5,2\n2,8,1,1,0,,7,0,0,1\n"
    roles = "arrival=at,prompt=in,output=out,predicted=guess,cached=hit,session=who,tenant=team,priority=rank"
    trace = read(tmp_path, data, f"{roles},deadline=due,value=worth")
    found = {
        name: getattr(trace, name).tolist()
        for name in ("predicted_output", "cached_tokens", "session", "tenant", "priority", "deadline_s", "value")
    }
    assert found == {
        "predicted_output": [3, 1],
        "cached_tokens": [4, 0],
        "session": [0, -1],
        "tenant": [7, 7],
        "priority": [-1, 0],
        "deadline_s": [5.5, 0],
        "value": [2, 1],
    }
    with pytest.raises(TraceError, match=":2: hit is 9; expected a whole number >= 0 and below the prompt's tokens"):
        read(tmp_path, data.replace(b"3,4,a", b"3,9,a"), f"{roles},deadline=due,value=worth")
