"""Files as people really have them: what is read, and what the error says to whom it is not."""

from pathlib import Path

import pytest
from trace_files import AZURE, MOONCAKE

from shadowprice.errors import TraceError
from shadowprice.workload import Trace, read_trace


def read(tmp_path: Path, data: bytes, *, skip: bool = False) -> Trace:
    path = tmp_path / "requests.txt"
    path.write_bytes(data)
    return read_trace(path, skip_bad_rows=skip)


def test_unnamed_columns_are_named_as_such_and_may_be_many(tmp_path: Path) -> None:
    data = b"arrival_s,prompt_tokens,output_tokens,,\n1,100,4,,\n2,100,4,,x\n"
    trace = read(tmp_path, data)
    assert len(trace) == 2
    assert trace.notes == ("columns not used: (unnamed), (unnamed)",)


@pytest.mark.parametrize("data", [AZURE.replace(b"\n", b"\r"), b"N\xe9e," + AZURE])
def test_a_bad_header_is_not_called_a_bad_row(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TraceError) as caught:
        read(tmp_path, data)
    assert ":1: " in str(caught.value) and "skip-bad-rows" not in str(caught.value)


@pytest.mark.parametrize("data", [bytes(range(1, 200)), b"PK\x03\x04\x1b[31m", AZURE.replace(b"109", b"\x1b[31m")])
def test_messages_hold_no_characters_that_confuse_a_terminal(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TraceError) as caught:
        read(tmp_path, data)
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_bad_first_line_of_json_is_skipped_and_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, b'{"timestamp": 27482, "input\n' + MOONCAKE, skip=True)
    assert (len(trace), trace.skipped_rows) == (2, 1)
    with pytest.raises(TraceError, match=":1: not one JSON object"):
        read(tmp_path, b'{"timestamp": 27482, "input\n' + MOONCAKE)
    with pytest.raises(TraceError, match="no line of it is a JSON object"):
        read(tmp_path, b"{\n{\n", skip=True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("azure-conv-like", "write one with `shadowprice trace make azure-conv-like`"),
        ("azure-conv-lik", "did you mean the preset azure-conv-like"),
        ("azure-2023-cov", "did you mean the public trace azure-2023-conv"),
        ("zzz", "public traces: azure-2023-conv"),
    ],
)
def test_a_name_that_is_no_file_is_answered_with_what_it_may_mean(source: str, said: str) -> None:
    with pytest.raises(TraceError, match=said):
        read_trace(source)
