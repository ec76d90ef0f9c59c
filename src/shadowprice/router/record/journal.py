"""The files of a record: rows as JSON lines in journals, and the Parquet file that they are turned into.

A journal is locked (flock) by the recorder that appends to it for as long as that process lives: one that can be locked
is complete. Whoever opens, takes in or removes journals holds the lock of their folder.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as parquet

from shadowprice.errors import RouterError, TraceError
from shadowprice.workload.readers.jsonl_rows import decode_line
from shadowprice.workload.readers.record import MERGED, finished_lines, is_record, journals_of, merged_journals
from shadowprice.workload.readers.source import line_blocks

ROWS_AT_ONCE = 65_536
MOST_AT_START_BYTES = 64 << 20  # of a record that is rewritten before the router serves: a second or two
IDS_KEPT = 1000  # of journals, in the Parquet file: more than can be left over
PROBE = b" " * 4096
FIRST_BYTES = b'{"arrival_s":'


class Line(msgspec.Struct):
    """A row of the record: a FinishedRequest as the readers take it."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    session: int
    tenant: int
    priority: int
    prefix: Sequence[int]
    prefix_block_tokens: int
    worker: str
    queue_s: float
    ttft_s: float | None
    e2e_s: float
    status: int
    streamed: bool
    stop: str
    deadline_s: float = 0.0  # records of before it do not have it


SCHEMA = pa.schema(
    [
        ("arrival_s", pa.float64()),
        *((name, pa.int64()) for name in ("prompt_tokens", "output_tokens", "session", "tenant", "priority")),
        ("prefix", pa.list_(pa.int64())),
        ("prefix_block_tokens", pa.int64()),
        ("worker", pa.string()),
        *((name, pa.float64()) for name in ("queue_s", "ttft_s", "e2e_s")),
        ("status", pa.int64()),
        ("streamed", pa.bool_()),
        ("stop", pa.string()),
        ("deadline_s", pa.float64()),
    ]
)


class Opened(NamedTuple):
    """A file descriptor to append rows to, its path, the record's block size (0: none yet), and what to note."""

    file: int
    journal: Path
    block_tokens: int
    notes: list[str]


def open_record(path: Path) -> Opened:
    """The record, ready for more rows.

    Raises RouterError where the path is no record or in use, TraceError where its files are damaged, and OSError.
    """
    if path.suffix != ".parquet":
        notes: list[str] = []
        return Opened(_opened(path, notes), path, block_tokens_of(path), notes)
    with locked(path.parent):
        size = sum(file.stat().st_size for file in [path, *journals_of(path).values()] if file.exists())
        if size <= MOST_AT_START_BYTES:
            notes = take_in(path)
        else:
            _require_parquet(path)
            notes = [f"{path.name}: {size >> 20} MiB; journals stay beside it until this router stops"]
        journal = path.with_name(f"{path.name}.{time.time_ns():x}-{os.getpid()}.journal")
        return Opened(_opened(journal, notes), journal, block_tokens_of(path), notes)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among recorders with the journals of this folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def take_in(path: Path) -> list[str]:
    """Turn the journals of recorders that are no more into the Parquet file; returns what there is to note."""
    _require_parquet(path)
    done = merged_journals(path) if path.exists() else []
    complete = {name: file for name, file in journals_of(path).items() if _can_be_locked(file)}
    new = {name: file for name, file in complete.items() if name not in done and file.stat().st_size}
    notes: list[str] = []
    if new:
        _rewrite(path, new, done, notes)
    for file in complete.values():
        file.unlink()
    return notes


def _require_parquet(path: Path) -> None:
    if path.exists() and not is_record(path):
        raise RouterError(f"{path}: not a record of a router; expected one, or a new file name")


def _can_be_locked(file: Path) -> bool:
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _rewrite(path: Path, journals: dict[str, Path], done: list[str], notes: list[str]) -> None:
    """The Parquet file with the rows of these journals after its own, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    names = " ".join([*done, *journals][-IDS_KEPT:])
    try:
        with parquet.ParquetWriter(partial, SCHEMA.with_metadata({MERGED: names}), compression="zstd") as writer:
            if path.exists():
                with parquet.ParquetFile(path) as old:
                    for batch in old.iter_batches(ROWS_AT_ONCE):
                        rows = _with_deadlines(pa.Table.from_batches([batch]))
                        writer.write_table(rows.select(SCHEMA.names).cast(writer.schema))
            for table in _tables(journals, notes):
                writer.write_table(table)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _with_deadlines(rows: pa.Table) -> pa.Table:
    """The rows, without a deadline where their file is older than that column."""
    if "deadline_s" in rows.column_names:
        return rows
    return rows.append_column("deadline_s", pa.array([0.0] * len(rows)))


def _tables(journals: dict[str, Path], notes: list[str]) -> Iterator[pa.Table]:
    decoder = msgspec.json.Decoder(Line)
    for file in journals.values():
        for block in finished_lines(file, line_blocks(file), notes):
            lines = enumerate(block.data.removesuffix(b"\n").split(b"\n"), block.first_line)
            rows = [decode_line(file, line, data, decoder) for line, data in lines if data.strip()]
            columns = [[getattr(row, name) for row in rows] for name in SCHEMA.names]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            yield pa.Table.from_arrays(arrays, schema=SCHEMA)


def _opened(path: Path, notes: list[str]) -> int:
    """The file, locked, at the end of its last whole row, with room for another."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _require_record(path)
        _mend(file, path, notes)
        end = os.fstat(file).st_size
        try:
            if os.write(file, PROBE) < len(PROBE):
                raise OSError(f"no room for another {len(PROBE)} bytes")
        finally:
            os.ftruncate(file, end)
    except BlockingIOError as error:
        os.close(file)
        raise RouterError(f"{path}: another process records to it; expected a file of its own") from error
    except BaseException:
        os.close(file)
        raise
    return file


def _require_record(path: Path) -> None:
    """TraceError where the first line is neither a row of a record nor the beginning of one."""
    with path.open("rb") as lines:
        head = lines.readline()
    if head and not (head.startswith(FIRST_BYTES) and not head.endswith(b"\n")):
        decode_line(path, 1, head, msgspec.json.Decoder(Line))


def _mend(file: int, path: Path, notes: list[str]) -> None:
    """Cut off what a killed writer left of its last row."""
    size = os.fstat(file).st_size
    length = 4096
    while b"\n" not in (tail := os.pread(file, length, max(0, size - length))) and length < size:
        length *= 2
    tail = tail.rpartition(b"\n")[2]
    if not tail:
        return
    try:
        decode_line(path, 0, tail, msgspec.json.Decoder(Line))
        os.write(file, b"\n")
    except TraceError:
        os.ftruncate(file, size - len(tail))
        notes.append(f"{path.name}: the last row was cut off ({len(tail)} bytes) and removed")


def block_tokens_of(path: Path) -> int:
    """The size of the prefix blocks that the record's rows name; 0 where it has none."""
    if path.suffix == ".parquet" and path.exists():
        with parquet.ParquetFile(path) as file:
            first = next(file.iter_batches(1, columns=["prefix_block_tokens"]), None)
        if first is not None and len(first):
            return int(first.column(0)[0].as_py())
    for file in journals_of(path).values() if path.suffix == ".parquet" else [path]:
        with file.open("rb") as lines:
            head = lines.readline()
        if head.endswith(b"\n"):
            return decode_line(file, 1, head, msgspec.json.Decoder(Line)).prefix_block_tokens
    return 0
