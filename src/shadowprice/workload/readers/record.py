"""Records of the live router: our own columns for what arrived, and what was measured (docs/workload.md).

A record may be one JSONL file, or a Parquet file with journals beside it: `NAME.ID.journal`, JSONL to which a running
router appends and which it turns into the Parquet file when it stops, or when it starts again after a crash. The
Parquet file's metadata names the journals that are in it already. A last line without its end is what a killed writer
leaves: it is left out, and noted.

A request that made no token (refused, given up early, an embedding) has no output length to plan for: it is left out,
and counted by how it ended. One that ended early counts with the tokens it made, and is noted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts
from shadowprice.workload.readers.jsonl_rows import decode_line, read_rows
from shadowprice.workload.readers.own import OWN_CSV, read_parquet
from shadowprice.workload.readers.source import Block, line_blocks
from shadowprice.workload.readers.table import Column, Hash, Table, TokenCount, ZeroOrMore, join, take, tokens

MERGED = b"shadowprice.journals"  # metadata of the Parquet file: ids of the journals that are in it
EARLY = ("client_abort", "truncated")
COLUMNS = (
    Column("arrival_s", "number"),
    tokens("prompt_tokens", low=0),
    tokens("output_tokens", low=0),
    *(Column(name, "whole") for name in ("session", "tenant", "priority")),
    Column("deadline_s", "number", 0, required=False),  # records of before it do not have it
    Column("prefix", "wholes"),
    tokens("prefix_block_tokens"),
    Column("stop", "text"),
)


class RecordRow(msgspec.Struct):
    """One recorded request, as far as a trace has room for it: session and tenant -1 for none."""

    arrival_s: float
    prompt_tokens: ZeroOrMore
    output_tokens: ZeroOrMore
    session: Hash
    tenant: Hash
    priority: Hash
    prefix: list[Hash]
    prefix_block_tokens: TokenCount
    stop: str
    deadline_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def build(table: Table, options: Options) -> Parts:
    """The requests that made a token; seconds since the first recorded arrival. Columns that say nothing are left out.

    Raises TraceError where none is left.
    """
    made = (table.array("prompt_tokens") > 0) & (table.array("output_tokens") > 0)
    stops = table.array("stop")
    if len(table) and not made.any():
        raise TraceError(f"{table.path}: all {len(table)} recorded requests ended without a token ({_by(stops)})")
    notes = []
    if not made.all():
        left_out = int(np.count_nonzero(~made))
        notes.append(
            f"{left_out} of {len(table)} recorded requests made no token and were left out ({_by(stops[~made])}): "
            "demand was higher than this trace"
        )
    early = np.isin(stops, EARLY) & made
    if early.any():
        notes.append(f"{early.sum()} ended early and count with the tokens they made ({_by(stops[early])})")
    rows = np.flatnonzero(made)
    start_s = table.array("arrival_s").min(initial=np.inf)
    columns: dict[str, Any] = {name: take(column, rows) for name, column in table.columns.items() if name != "stop"}
    for name, nothing in (("session", -1), ("tenant", -1), ("priority", 0), ("deadline_s", 0.0)):
        if np.all(columns[name] == nothing):
            del columns[name]
    if len(columns["prefix"].values) == 0:
        del columns["prefix"], columns["prefix_block_tokens"]
    columns["arrival_s"] = columns["arrival_s"] - start_s
    parts = OWN_CSV.build(
        Table(table.path, columns, table.line[rows], table.skip_bad_rows, table.skipped_rows), options
    )
    return Parts(parts.table, parts.columns, notes)


def _by(stops: Any) -> str:
    return ", ".join(f"{count} {stop}" for stop, count in Counter(stops.tolist()).most_common())


RECORD_JSONL = JsonlFormat("shadowprice record JSONL", RecordRow, build)


def journals_of(path: Path) -> dict[str, Path]:
    """The journals beside the Parquet file (which need not be there yet), by their ids, the oldest first."""
    found = sorted(path.parent.glob(f"{escape(path.name)}.*.journal")) if path.suffix == ".parquet" else []
    return {file.name[len(path.name) + 1 : -len(".journal")]: file for file in found}


def merged_journals(path: Path) -> list[str]:
    """The ids of the journals that are in the Parquet file already; TraceError where it cannot be read."""
    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TraceError(f"{path}: not a readable Parquet file, damaged or cut off ({error})") from error
    return str(metadata.get(MERGED, b"").decode()).split()


def finished_lines(path: Path, blocks: Iterator[Block], notes: list[str]) -> Iterator[Block]:
    """The blocks without a last line that was cut off, which is noted; one that lacks only its line end is kept."""
    decoder = msgspec.json.Decoder(msgspec.Raw)
    for block in blocks:
        whole, _, tail = block.data.rpartition(b"\n")
        if tail:
            line = block.first_line + block.data.count(b"\n")
            try:
                decode_line(path, line, tail, decoder)
            except TraceError:
                notes.append(f"{path.name}:{line}: the last row was cut off ({len(tail)} bytes) and left out")
                block = Block(block.first_line, whole + b"\n" if whole else b"")
        if block.data:
            yield block


def read_journals(path: Path, *, skip_bad_rows: bool) -> tuple[dict[str, Table], list[str]]:
    """The rows of each journal beside the Parquet file, and what there is to note."""
    tables: dict[str, Table] = {}
    notes: list[str] = []
    for name, file in journals_of(path).items():
        try:
            if file.stat().st_size == 0:
                continue
            blocks = finished_lines(file, line_blocks(file), notes)
            tables[name] = read_rows(file, blocks, RecordRow, skip_bad_rows=skip_bad_rows)
        except FileNotFoundError:  # merged a moment ago: its rows are in the Parquet file, which is read after
            continue
    return tables, notes


def read_record(path: Path, *, skip_bad_rows: bool) -> tuple[Table, list[str], list[str]]:
    """The rows of a recorded Parquet file and its journals, columns not of a trace, and notes.

    Journals are read first: whatever leaves them is in the Parquet file by then.
    """
    journals, notes = read_journals(path, skip_bad_rows=skip_bad_rows)
    tables, unused = [], list[str]()
    if path.exists():
        table, unused = read_parquet(path, COLUMNS, skip_bad_rows=skip_bad_rows)
        tables.append(table)
        journals = {name: rows for name, rows in journals.items() if name not in merged_journals(path)}
    more = [table for table in journals.values() if len(table)]
    if more:
        beside = f"{len(more)} journal{'' if len(more) == 1 else 's'}"
        notes.append(f"{sum(map(len, more))} rows come from {beside} beside {path.name}")
    tables = [table for table in [*tables, *more] if len(table)]
    skipped = sum(table.skipped_rows for table in [*tables, *(t for t in journals.values() if not len(t))])
    if not tables:
        raise TraceError(f"{path}: no request was recorded; expected at least one")
    tables = [_with_deadlines(table) for table in tables]
    columns = {column.name: join([table.columns[column.name] for table in tables]) for column in COLUMNS}
    lines = np.concatenate([table.line for table in tables])
    return Table(path, columns, lines, skip_bad_rows, skipped), unused, notes


def _with_deadlines(table: Table) -> Table:
    """The table, with a column of no deadlines where it was written without."""
    return replace(table, columns={"deadline_s": np.zeros(len(table)), **table.columns})


def is_record(path: Path) -> bool:
    """Whether it has journals beside it, or is a Parquet file with a record's columns."""
    if not path.exists():
        return bool(journals_of(path))
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError):
        return False
    return {column.name for column in COLUMNS if column.required} <= set(names)
