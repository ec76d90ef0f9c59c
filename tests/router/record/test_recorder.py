"""The record of the live trace: what is written is read back, and audits run on it."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from shadowprice.cli import app
from shadowprice.errors import RouterError, TraceError
from shadowprice.router.record.recorder import Recorder
from shadowprice.workload import PRESETS, read_trace, write_trace
from shadowprice.workload.readers.record import journals_of
from tests.router.numbered_requests import BOTH, numbered, write


@BOTH
def test_what_is_recorded_is_read_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, *(numbered(k) for k in (2, 0, 1)))
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
        tmp_path / "trace.parquet", numbered(0), numbered(1, ttft_s=None, streamed=False, status=502, stop="truncated")
    )
    rows = parquet.read_table(tmp_path / "trace.parquet").to_pylist()
    assert rows[0]["arrival_s"] == 1.8e9
    assert [row["ttft_s"] for row in rows] == [0.5, None]
    assert [row["status"] for row in rows] == [200, 502]
    assert {row["worker"] for row in rows} == {"http://127.0.0.1:8001"}


@BOTH
def test_restart_appends(tmp_path: Path, name: str) -> None:
    for k in range(4):
        write(tmp_path / name, numbered(k))
    assert read_trace(tmp_path / name).prompt_tokens.tolist() == [1, 2, 3, 4]


@BOTH
def test_deadlines_are_recorded_and_read_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, numbered(0, deadline_s=2.5), numbered(1))
    assert read_trace(tmp_path / name).deadline_s.tolist() == [2.5, 0]


@BOTH
def test_a_record_of_before_there_were_deadlines_is_read_and_continued(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, numbered(0), numbered(1))
    if path.suffix == ".parquet":
        parquet.write_table(parquet.read_table(path).drop_columns(["deadline_s"]), path)
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({k: row[k] for k in row if k != "deadline_s"}) + "\n" for row in rows))
    assert read_trace(path).deadline_s is None
    write(path, numbered(2, deadline_s=1.0))
    trace = read_trace(path)
    assert trace.prompt_tokens.tolist() == [1, 2, 3]
    assert trace.deadline_s.tolist() == [0, 0, 1]


def test_a_record_is_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    with pytest.raises(TraceError, match="no request was recorded"):
        read_trace(path)
    for k in range(3):
        recorder.add(numbered(k))
        assert recorder.flush() == 1
        assert len(read_trace(path)) == k + 1
    assert any("3 rows come from 1 journal beside" in note for note in read_trace(path).notes)
    recorder.close()
    write(path, numbered(3))
    assert len(read_trace(path)) == 4


def test_requests_without_a_token_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(
        path,
        numbered(0, output_tokens=0, status=429, stop="refused", worker=""),
        numbered(1),
        numbered(2, output_tokens=0, stop="client_abort"),
        numbered(3, output_tokens=5, stop="client_abort"),
        numbered(4, prompt_tokens=0, output_tokens=0, status=429, stop="refused"),
        numbered(5, output_tokens=0),  # an embedding
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
    write(tmp_path / "trace.jsonl", numbered(0, output_tokens=0, stop="refused"))
    with pytest.raises(TraceError, match=r"all 1 recorded requests ended without a token \(1 refused\)"):
        read_trace(tmp_path / "trace.jsonl")


def test_codes_of_64_bits_and_absent_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(path, numbered(0, session=2**64 - 2, prefix=(2**63, 5)), numbered(1, session=None, tenant=None, prefix=()))
    trace = read_trace(path)
    assert trace.session.tolist() == [-2, -1]
    assert trace.tenant.tolist() == [0, -1]
    assert trace.prefix[0].tolist() == [-(2**63), 5]


def test_prefixes_in_blocks_of_another_kind_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write(path, numbered(0))
    recorder = Recorder(path)
    recorder.add(numbered(1, prefix_block_tokens=31))
    recorder.close()
    assert recorder.prefixes_left_out_total == 1
    assert [len(read_trace(path).prefix[i]) for i in range(2)] == [2, 0]


def test_what_a_block_holds_is_learned_and_no_prefix_is_lost_by_it(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    sizes = (80, 70, 64, 60, 63)
    write(path, *(numbered(k, prefix_block_tokens=size) for k, size in enumerate(sizes)))
    write(path, numbered(9, prefix_block_tokens=90))
    trace = read_trace(path)
    assert trace.prefix_block_tokens == 63  # of the first rows written, the last one knew best
    assert [len(trace.prefix[i]) for i in range(6)] == [2] * 6


def test_processes_that_record_together_name_one_size_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    recorders = [Recorder(path) for _ in range(3)]
    for k, recorder in enumerate(recorders):
        recorder.add(numbered(k, prefix_block_tokens=60 + k))
        recorder.flush()
    for recorder in recorders:
        recorder.close()
    trace = read_trace(path)
    assert trace.prefix_block_tokens == 60 and [len(trace.prefix[i]) for i in range(3)] == [2] * 3


@BOTH
def test_a_record_without_prefixes_has_none(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, *(numbered(k, prefix=(), prefix_block_tokens=0) for k in range(2)))
    assert read_trace(tmp_path / name).prefix is None


def test_a_large_record_does_not_delay_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journals stay, are read, and are taken in when the recorder closes."""
    path = tmp_path / "trace.parquet"
    killed = Recorder(path)
    killed.add(numbered(0))
    killed.flush()
    os.close(killed._file)
    monkeypatch.setattr("shadowprice.router.record.journal.MOST_AT_START_BYTES", 10)
    recorder = Recorder(path)
    assert any("journals stay beside it" in note for note in recorder.notes)
    assert len(journals_of(path)) == 2
    recorder.add(numbered(1, prefix_block_tokens=31))
    recorder.flush()
    assert recorder.prefixes_left_out_total == 1  # the block size is that of the journal
    assert len(read_trace(path)) == 2
    recorder.close()
    assert journals_of(path) == {}
    assert len(read_trace(path)) == 2


def test_two_recorders_share_a_parquet_record_but_no_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    first, second = Recorder(path), Recorder(path)
    first.add(numbered(0))
    second.add(numbered(1))
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


def test_adding_while_another_thread_flushes_loses_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "trace.parquet")
    done = threading.Event()

    def flushing() -> None:
        while not done.is_set():
            recorder.flush()

    thread = threading.Thread(target=flushing)
    thread.start()
    for k in range(20_000):
        recorder.add(numbered(k, prefix=(), prefix_block_tokens=0))
    done.set()
    thread.join()
    recorder.close()
    assert read_trace(tmp_path / "trace.parquet").prompt_tokens.tolist() == list(range(1, 20_001))


@pytest.mark.parametrize("closed", [True, False])
def test_audit_and_plan_run_on_the_record_as_it_is(tmp_path: Path, closed: bool) -> None:
    """Refusals, aborts, live journal and all; closed or not."""
    path = tmp_path / "trace.parquet"
    recorder = Recorder(path)
    made = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=400)
    for k in range(400):
        recorder.add(
            numbered(
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
