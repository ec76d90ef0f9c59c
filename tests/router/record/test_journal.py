"""The record when its writer is killed, the disk is full or a journal is damaged: every whole row is read back."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadowprice.errors import RouterError, TraceError
from shadowprice.router.record.journal import take_in
from shadowprice.router.record.recorder import Recorder
from shadowprice.workload import read_trace
from shadowprice.workload.readers.record import journals_of
from tests.router.numbered_requests import BOTH, numbered, write

WRITER = Path(__file__).with_name("write_forever.py")


@BOTH
@pytest.mark.parametrize(("rows", "blocks"), [(5, 0), (3000, 40)])
def test_a_kill_loses_only_what_was_not_flushed(tmp_path: Path, name: str, rows: int, blocks: int) -> None:
    """Killed at random moments, five times in a row, in the same record: no row before the last flush is missing."""
    path, rng, first = tmp_path / name, random.Random(rows), 0
    for _ in range(5):
        command = [sys.executable, str(WRITER), str(path), str(first), str(rows), str(blocks)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.02, 0.4))
            writer.send_signal(signal.SIGKILL)
            flushed = [first, *map(int, writer.stdout.read().split())][-1]
        trace = read_trace(path)
        # every row once, in order, up to the last flush at least and one flush more at most
        assert trace.prompt_tokens.tolist() == list(range(1, len(trace) + 1))
        assert flushed <= len(trace) <= flushed + rows
        first = len(trace)
    write(path, numbered(first, output_tokens=7, session=first % 10, prefix=()))
    assert read_trace(path).prompt_tokens.tolist() == list(range(1, first + 2))
    assert [file.name for file in tmp_path.iterdir()] == [name]


@BOTH
def test_a_kill_in_the_middle_of_a_write_tears_one_row(tmp_path: Path, name: str) -> None:
    """The next start goes on after the last whole row, three times in a row."""
    path, first = tmp_path / name, 0
    for room in (1_000_000, 1_500_001, 2_000_003):  # none ends where a row does
        command = [sys.executable, str(WRITER), str(path), str(first), "700", "500", str(room)]
        writer = subprocess.run(command, capture_output=True, text=True)
        assert writer.returncode == -signal.SIGXFSZ
        flushed = [first, *map(int, writer.stdout.split()[1:])][-1]
        trace = read_trace(path)
        assert any("the last row was cut off" in note for note in trace.notes)
        assert trace.prompt_tokens.tolist() == list(range(1, len(trace) + 1))
        assert flushed < len(trace) < flushed + 700
        first = len(trace)


@BOTH
@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_torn_last_row_is_reported_and_then_removed(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    recorder = Recorder(path)
    for k in range(3):
        recorder.add(numbered(k))
    recorder.flush()
    file = recorder.journal
    whole = file.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    os.close(recorder._file)  # dead
    file.write_bytes(whole[: max(last + 1, len(whole) - cut)])
    trace = read_trace(path)
    reopened = Recorder(path)
    if cut == 1:  # only the line end is missing
        assert len(trace) == 3
        assert not reopened.notes
    else:
        assert len(trace) == 2
        assert any("3: the last row was cut off" in note for note in trace.notes)
        assert any("the last row was cut off" in note for note in reopened.notes)
    reopened.add(numbered(9))
    reopened.close()
    assert len(read_trace(path)) == len(trace) + 1


def test_a_kill_between_rename_and_removal_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    recorder.add(numbered(0))
    recorder.flush()
    journal = recorder.journal.read_bytes()
    recorder.close()
    recorder.journal.write_bytes(journal)  # as if it had not been removed
    assert len(read_trace(path)) == 1
    write(path, numbered(1))
    assert len(read_trace(path)) == 2
    assert journals_of(path) == {}


def test_a_damaged_journal_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    recorder.add(numbered(0))
    recorder.flush()
    os.close(recorder._file)
    row = recorder.journal.read_bytes()
    recorder.journal.write_bytes(row + b'{"arrival_s": tru\n' + row)
    with pytest.raises(TraceError, match=r"journal:2: not one JSON object"):
        read_trace(path)
    assert read_trace(path, skip_bad_rows=True).skipped_rows == 1
    with pytest.raises(RouterError, match=r"cannot continue this record: .*journal:2"):
        Recorder(path)
    with pytest.raises(TraceError):
        take_in(path)
    assert recorder.journal.exists()


FULL = """
import json, resource, signal, sys
from shadowprice.router.record.recorder import Recorder
from write_forever import request
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recorder = Recorder(sys.argv[1])
limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for k in range(10): recorder.add(request(k, 0))
recorder.flush()
limit(recorder.journal.stat().st_size + 1000)  # room for some of the rows only
for k in range(10, 500): recorder.add(request(k, 0))
recorder.flush()
full = recorder.to_json()
assert recorder.journal.read_bytes().endswith(b"}\\n")
limit(resource.RLIM_INFINITY)
recorder.flush()
recorder.close()
print(json.dumps([full, recorder.to_json()]))
"""


@BOTH
def test_a_full_disk_is_said_and_survived(tmp_path: Path, name: str) -> None:
    """A real limit of the file size, in a process of its own: the write stops in the middle of a row."""
    path = tmp_path / name
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(WRITER.parent)])},
    )
    full, after = json.loads(run.stdout)
    assert (full["rows_total"], full["pending"], full["errors_total"]) == (10, 490, 1)
    assert "File too large" in full["last_error"]
    assert (after["rows_total"], after["pending"], after["lost_total"]) == (500, 0, 0)
    assert read_trace(path).prompt_tokens.tolist() == list(range(1, 501))


def test_no_room_at_the_start_is_an_error(tmp_path: Path) -> None:
    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    code = f"from shadowprice.router.record.recorder import Recorder; Recorder({str(tmp_path / 'trace.parquet')!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=small)
    assert run.returncode == 1
    assert "RouterError" in run.stderr
    assert "trace.parquet: cannot record to it" in run.stderr


def test_rows_beyond_what_memory_may_hold_are_given_up_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowprice.router.record.recorder.MOST_PENDING", 100)
    recorder = Recorder(tmp_path / "trace.jsonl")
    os.close(recorder._file)
    recorder._file = os.open(tmp_path / "trace.jsonl", os.O_RDONLY)  # writes fail from now on
    for k in range(130):
        recorder.add(numbered(k))
    assert recorder.flush() == 0
    assert (recorder.pending, recorder.lost_total, recorder.errors_total) == (100, 30, 1)
