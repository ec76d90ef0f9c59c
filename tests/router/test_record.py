"""The record of the live trace: what is written is read back, whatever kills the writer, and audits run on it."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.errors import RouterError, TraceError
from shadowprice.router.journal import take_in
from shadowprice.router.record import FinishedRequest, Recorder
from shadowprice.workload import PRESETS, read_trace, write_trace
from shadowprice.workload.readers.record import journals_of

WRITER = Path(__file__).with_name("write_forever.py")
BOTH = pytest.mark.parametrize("name", ["trace.parquet", "trace.jsonl"])


def finished(k: int, **changes: object) -> FinishedRequest:
    """Request k of many: arrives at second k of an hour in 2027."""
    one = FinishedRequest(
        arrival_s=1.8e9 + k,
        prompt_tokens=k + 1,
        output_tokens=2 * k + 1,
        session=k % 3,
        tenant=k % 2,
        priority=None,
        prefix=(k, -k),
        prefix_block_tokens=64,
        worker="http://127.0.0.1:8001",
        queue_s=0.25,
        ttft_s=0.5,
        e2e_s=1.5,
        status=200,
        streamed=True,
        stop="finished",
    )
    return msgspec.structs.replace(one, **changes)


def write(path: Path, *requests: FinishedRequest) -> None:
    recorder = Recorder(path)
    for request in requests:
        recorder.add(request)
    recorder.close()


@BOTH
def test_what_is_recorded_is_read_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, *(finished(k) for k in (2, 0, 1)))
    trace = read_trace(tmp_path / name)
    assert trace.arrival_s.tolist() == [0, 1, 2]
    assert trace.prompt_tokens.tolist() == [1, 2, 3]
    assert trace.output_tokens.tolist() == [1, 3, 5]
    assert trace.session.tolist() == [0, 1, 2]
    assert trace.tenant.tolist() == [0, 1, 0]
    assert [trace.prefix[i].tolist() for i in range(3)] == [[0, 0], [1, -1], [2, -2]]
    assert trace.prefix_block_tokens == 64
    assert trace.priority is None  # nobody had one
    assert any("columns not used: worker, queue_s" in note for note in trace.notes)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_measured_columns_are_in_the_parquet_file(tmp_path: Path) -> None:
    write(
        tmp_path / "trace.parquet", finished(0), finished(1, ttft_s=None, streamed=False, status=502, stop="truncated")
    )
    rows = parquet.read_table(tmp_path / "trace.parquet").to_pylist()
    assert rows[0]["arrival_s"] == 1.8e9
    assert [row["ttft_s"] for row in rows] == [0.5, None]
    assert [row["status"] for row in rows] == [200, 502]
    assert {row["worker"] for row in rows} == {"http://127.0.0.1:8001"}


@BOTH
def test_restart_appends(tmp_path: Path, name: str) -> None:
    for k in range(4):
        write(tmp_path / name, finished(k))
    assert read_trace(tmp_path / name).prompt_tokens.tolist() == [1, 2, 3, 4]


def test_a_record_is_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    with pytest.raises(TraceError, match="no request was recorded"):
        read_trace(path)
    for k in range(3):
        recorder.add(finished(k))
        assert recorder.flush() == 1
        assert len(read_trace(path)) == k + 1
    assert any("3 rows come from 1 journal beside" in note for note in read_trace(path).notes)
    recorder.close()
    write(path, finished(3))
    assert len(read_trace(path)) == 4


def test_requests_without_a_token_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(
        path,
        finished(0, output_tokens=0, status=429, stop="refused", worker=""),
        finished(1),
        finished(2, output_tokens=0, stop="client_abort"),
        finished(3, output_tokens=5, stop="client_abort"),
        finished(4, prompt_tokens=0, output_tokens=0, status=429, stop="refused"),
        finished(5, output_tokens=0),  # an embedding
    )
    trace = read_trace(path)
    assert trace.output_tokens.tolist() == [3, 5]
    assert trace.arrival_s.tolist() == [1, 3]  # counted from the first arrival, the refused one's
    said = " ".join(trace.notes)
    assert "4 of 6 recorded requests made no token and were left out (2 refused, 1 client_abort, 1 finished)" in said
    assert "1 ended early and count with the tokens they made (1 client_abort)" in said
    assert trace.skipped_rows == 0
    assert len(parquet.read_table(path)) == 6


def test_a_record_of_refusals_alone_says_so(tmp_path: Path) -> None:
    write(tmp_path / "trace.jsonl", finished(0, output_tokens=0, stop="refused"))
    with pytest.raises(TraceError, match=r"all 1 recorded requests ended without a token \(1 refused\)"):
        read_trace(tmp_path / "trace.jsonl")


def test_codes_of_64_bits_and_absent_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(path, finished(0, session=2**64 - 2, prefix=(2**63, 5)), finished(1, session=None, tenant=None, prefix=()))
    trace = read_trace(path)
    assert trace.session.tolist() == [-2, -1]
    assert trace.tenant.tolist() == [0, -1]
    assert trace.prefix[0].tolist() == [-(2**63), 5]


def test_prefixes_in_blocks_of_another_size_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(path, finished(0))
    recorder = Recorder(path)
    recorder.add(finished(1, prefix_block_tokens=32))
    recorder.close()
    assert recorder.prefixes_left_out_total == 1
    assert [len(read_trace(path).prefix[i]) for i in range(2)] == [2, 0]


@BOTH
def test_a_record_without_prefixes_has_none(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, *(finished(k, prefix=(), prefix_block_tokens=0) for k in range(2)))
    assert read_trace(tmp_path / name).prefix is None


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
    write(path, finished(first, output_tokens=7, session=first % 10, prefix=()))
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
        recorder.add(finished(k))
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
    reopened.add(finished(9))
    reopened.close()
    assert len(read_trace(path)) == len(trace) + 1


def test_a_kill_between_rename_and_removal_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    recorder.add(finished(0))
    recorder.flush()
    journal = recorder.journal.read_bytes()
    recorder.close()
    recorder.journal.write_bytes(journal)  # as if it had not been removed
    assert len(read_trace(path)) == 1
    write(path, finished(1))
    assert len(read_trace(path)) == 2
    assert journals_of(path) == {}


def test_a_large_record_does_not_delay_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journals stay, are read, and are taken in when the recorder closes."""
    path = tmp_path / "trace.parquet"
    killed = Recorder(path)
    killed.add(finished(0))
    killed.flush()
    os.close(killed._file)
    monkeypatch.setattr("shadowprice.router.journal.MOST_AT_START_BYTES", 10)
    recorder = Recorder(path)
    assert any("journals stay beside it" in note for note in recorder.notes)
    assert len(journals_of(path)) == 2
    recorder.add(finished(1, prefix_block_tokens=32))
    recorder.flush()
    assert recorder.prefixes_left_out_total == 1  # the block size is that of the journal
    assert len(read_trace(path)) == 2
    recorder.close()
    assert journals_of(path) == {}
    assert len(read_trace(path)) == 2


def test_two_recorders_share_a_parquet_record_but_no_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    first, second = Recorder(path), Recorder(path)
    first.add(finished(0))
    second.add(finished(1))
    second.close()
    first.flush()
    assert len(read_trace(path)) == 2
    first.close()
    assert sorted(read_trace(path).prompt_tokens.tolist()) == [1, 2]
    held = Recorder(tmp_path / "trace.jsonl")
    with pytest.raises(RouterError, match="another process records to it"):
        Recorder(tmp_path / "trace.jsonl")
    held.close()


def test_unusable_targets_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"ending in .parquet or .jsonl"):
        Recorder(tmp_path / "trace.csv")
    with pytest.raises(RouterError, match="No such file or directory"):
        Recorder(tmp_path / "nowhere" / "trace.parquet")
    with pytest.raises(RouterError, match=r"cannot record to it"):
        Recorder("/proc/trace.parquet")
    other = tmp_path / "other.parquet"
    write_trace(PRESETS["azure-conv-like"](np.random.default_rng(0), requests=5), other)
    before = other.read_bytes()
    with pytest.raises(RouterError, match="not a record of a router"):
        Recorder(other)
    assert other.read_bytes() == before
    notes = tmp_path / "notes.jsonl"
    notes.write_text('{"mine": 1}\n{"no line end": 2}')
    with pytest.raises(RouterError, match="cannot continue this record"):
        Recorder(notes)
    assert notes.read_text() == '{"mine": 1}\n{"no line end": 2}'
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RouterError):
        Recorder(tmp_path / "bad.parquet")


FULL = """
import json, resource, signal, sys
from shadowprice.router.record import Recorder
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

    code = f"from shadowprice.router.record import Recorder; Recorder({str(tmp_path / 'trace.parquet')!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=small)
    assert run.returncode == 1
    assert "RouterError" in run.stderr
    assert "trace.parquet: cannot record to it" in run.stderr


def test_rows_beyond_what_memory_may_hold_are_given_up_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowprice.router.record.MOST_PENDING", 100)
    recorder = Recorder(tmp_path / "trace.jsonl")
    os.close(recorder._file)
    recorder._file = os.open(tmp_path / "trace.jsonl", os.O_RDONLY)  # writes fail from now on
    for k in range(130):
        recorder.add(finished(k))
    assert recorder.flush() == 0
    assert (recorder.pending, recorder.lost_total, recorder.errors_total) == (100, 30, 1)


def test_adding_while_another_thread_flushes_loses_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "trace.parquet")
    done = threading.Event()

    def flushing() -> None:
        while not done.is_set():
            recorder.flush()

    thread = threading.Thread(target=flushing)
    thread.start()
    for k in range(20_000):
        recorder.add(finished(k, prefix=(), prefix_block_tokens=0))
    done.set()
    thread.join()
    recorder.close()
    assert read_trace(tmp_path / "trace.parquet").prompt_tokens.tolist() == list(range(1, 20_001))


def test_a_damaged_journal_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    recorder.add(finished(0))
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


@pytest.mark.parametrize("closed", [True, False])
def test_audit_and_plan_run_on_the_record_as_it_is(tmp_path: Path, closed: bool) -> None:
    """Refusals, aborts, live journal and all; closed or not."""
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    made = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=400)
    for k in range(400):
        recorder.add(
            finished(
                0,
                arrival_s=1.8e9 + float(made.arrival_s[k]),
                prompt_tokens=int(made.prompt_tokens[k]),
                output_tokens=0 if k % 20 == 0 else int(made.output_tokens[k]),
                stop="refused" if k % 20 == 0 else "finished",
                prefix=(k,),
            )
        )
    recorder.flush()
    if closed:
        recorder.close()
    runner = CliRunner()
    audit = runner.invoke(app, ["audit", str(path), "--fleet", "llama-3.1-8b-h100", "--load", "0.5", "--json"])
    assert audit.exit_code == 0, audit.output
    assert "20 of 400 recorded requests made no token" in audit.output
    plan = runner.invoke(app, ["plan", str(path), "--fleet", "llama-3.1-8b-h100", "--ttft-p99", "2", "--json"])
    assert plan.exit_code in (0, 1), plan.output
    assert json.loads(plan.stdout)
