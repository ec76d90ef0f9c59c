"""Reading traces: the format is told from the content, and every bad row is an error or is counted."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.presets import PRESETS
from shadowprice.workload.public import PUBLIC_TRACES, fetch_public
from shadowprice.workload.readers.csv_rows import read_columns, split_line
from shadowprice.workload.readers.documents import client_trace, first_object, is_json, object_lines
from shadowprice.workload.readers.formats import CsvFormat, JsonlFormat, Options, Parts, assemble, name_of
from shadowprice.workload.readers.forms import (
    CSV_FORMATS,
    JSONL_FORMATS,
    client_form,
    match,
    no_match,
    refuse_summary,
)
from shadowprice.workload.readers.jsonl_rows import read_rows
from shadowprice.workload.readers.logs import read_measured
from shadowprice.workload.readers.mapped import (
    ColumnMap,
    columns_of,
    guess_columns,
    mapped_parts,
    parse_columns,
    require_columns,
)
from shadowprice.workload.readers.mapped_json import field_of, is_date, read_mapped_rows
from shadowprice.workload.readers.measured import MeasuredLog
from shadowprice.workload.readers.own import COLUMNS, OWN_CSV, OWN_JSONL, parquet_columns, read_parquet
from shadowprice.workload.readers.prefix_blocks import check_block_tokens
from shadowprice.workload.readers.record import RECORD_JSONL, finished_lines, is_record, journals_of, read_record
from shadowprice.workload.readers.record import build as build_record
from shadowprice.workload.readers.source import PARQUET_MAGIC, Block, first_bytes, line_blocks
from shadowprice.workload.readers.table import Table, printable
from shadowprice.workload.trace import Trace

__all__ = ["CSV_FORMATS", "JSONL_FORMATS", "MeasuredLog", "read_measured", "read_trace"]

OURS = (OWN_CSV, OWN_JSONL, RECORD_JSONL)  # forms whose columns say all there is to say
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_trace(
    source: str | Path,
    *,
    skip_bad_rows: bool = False,
    spread_buckets: bool = True,
    seed: int = 0,
    columns: str | Mapping[str, str] | None = None,
    block_tokens: int | None = None,
) -> Trace:
    """Read the trace in a file, or the public trace of that name.

    The form is told from the content: Parquet, CSV or JSONL; gzip and zstd are unpacked. docs/workload.md lists the
    forms; the record of a router that runs, or was killed, is read with its journals.

    Parameters
    ----------
    source : str or Path
        A file, or a name of `shadowprice trace list`.
    skip_bad_rows : bool
        Drop rows that cannot be used and count them in `Trace.skipped_rows`, instead of raising.
    spread_buckets : bool
        Where the file rounds its times to steps of a second or more, spread arrivals inside each step instead of
        keeping them as bursts; `Trace.notes` says what was done.
    seed : int
        Of that spreading.
    columns : str or mapping, optional
        Which columns of any CSV, JSON or Parquet file mean what: "arrival=t_s,prompt=in,output=out", or a mapping.
        Without it the form is told from the content, else by names that people use.
    block_tokens : int, optional
        Tokens of a block of prefix hashes; without it by the form, or inferred from the lengths.

    Returns
    -------
    Trace
        The requests, sorted by arrival.

    Raises
    ------
    TraceError
        Naming file, line, field, what was found and what is accepted.

    Examples
    --------
    >>> import shadowprice as sp
    >>> len(sp.read_trace("requests.csv"))
    50
    """
    path = _locate(source)
    check_block_tokens(block_tokens)
    mapping = None if columns is None else parse_columns(columns)
    options = Options(spread_buckets, np.random.default_rng(seed), block_tokens)
    if journals_of(path) or first_bytes(path).startswith(PARQUET_MAGIC):
        parts, unused = _read_parquet(path, options, mapping, skip_bad_rows=skip_bad_rows)
    else:
        parts, unused = _read_text(path, options, mapping, skip_bad_rows=skip_bad_rows)
    if unused:
        parts.notes.append(f"columns not used: {', '.join(name or '(unnamed)' for name in unused)}")
    return assemble(parts, name_of(path))


def _locate(source: str | Path) -> Path:
    """The file itself, or the download of a public trace; a name close to a public one is suggested."""
    if not str(source):
        raise TraceError("the name of the trace is empty; expected a file, a public trace or a preset")
    path = Path(source)
    if path.exists() or path.name != str(source) or journals_of(path):
        return path
    if str(source) in PUBLIC_TRACES:
        return fetch_public(str(source))
    if str(source) in PRESETS:
        raise TraceError(f"{source}: a preset and no file; write one with `shadowprice trace make {source}`")
    near = get_close_matches(str(source), [*PUBLIC_TRACES, *PRESETS], n=1)
    kind = "public trace" if near and near[0] in PUBLIC_TRACES else "preset"
    hint = f"did you mean the {kind} {near[0]}?" if near else f"public traces: {', '.join(PUBLIC_TRACES)}"
    raise TraceError(f"{source}: no such file; {hint}")


def _read_parquet(
    path: Path, options: Options, mapping: ColumnMap | None, *, skip_bad_rows: bool
) -> tuple[Parts, list[str]]:
    if mapping is None and is_record(path):
        table, unused, notes = read_record(path, skip_bad_rows=skip_bad_rows)
        parts = build_record(table, options)
        parts.notes.extend(notes)
        return parts, unused
    names = parquet_columns(path)
    if mapping is None and not {column.name for column in COLUMNS if column.required} <= names.keys():
        mapping = guess_columns(list(names))
    if mapping is None:
        table, unused = read_parquet(path, skip_bad_rows=skip_bad_rows)
        return OWN_CSV.build(table, options), unused
    require_columns(path, mapping, list(names))
    wanted = columns_of(mapping, names[mapping.columns["arrival"]])
    table, unused = read_parquet(path, tuple(wanted), skip_bad_rows=skip_bad_rows)
    return mapped_parts(table, mapping, options), unused


def _read_text(
    path: Path, options: Options, mapping: ColumnMap | None, *, skip_bad_rows: bool
) -> tuple[Parts, list[str]]:
    blocks = line_blocks(path)
    head = next(blocks, Block(1, b""))
    if is_json(head):
        return _read_json(path, object_lines(path, head, blocks), options, mapping, skip_bad_rows=skip_bad_rows)
    return _read_csv(path, head, blocks, options, mapping, skip_bad_rows=skip_bad_rows)


def _read_json(
    path: Path, blocks: Iterator[Block], options: Options, mapping: ColumnMap | None, *, skip_bad_rows: bool
) -> tuple[Parts, list[str]]:
    head = next(blocks)
    line, first = first_object(path, head, skip_bad_rows=skip_bad_rows)
    names = list(first)
    blocks = chain([head], blocks)
    if mapping is None:
        client = client_form(first)
        if client is not None:
            return client_trace(path, blocks, client, skip_bad_rows=skip_bad_rows), []
        refuse_summary(path, line, first)
        form = match(names, JSONL_FORMATS)
        if form is not None:
            return _read_rows(path, blocks, form, options, skip_bad_rows=skip_bad_rows), [
                name for name in names if name not in form.row.__struct_encode_fields__
            ]
        mapping = guess_columns(names)
        if mapping is None:
            raise no_match(path, line, names, JSONL_FORMATS)
    inside = [name for name in mapping.columns.values() if field_of(first, name) is not None]
    require_columns(path, mapping, [*names, *inside])
    table = read_mapped_rows(path, blocks, mapping, skip_bad_rows=skip_bad_rows)
    return mapped_parts(table, mapping, options), [name for name in names if name not in table.columns]


def _read_rows(
    path: Path, blocks: Iterator[Block], form: JsonlFormat, options: Options, *, skip_bad_rows: bool
) -> Parts:
    notes: list[str] = []
    if form is RECORD_JSONL:
        blocks = finished_lines(path, blocks, notes)
    table = read_rows(path, blocks, form.row, skip_bad_rows=skip_bad_rows, fill=form.fill)
    parts = _build(form, table, options)
    parts.notes.extend(notes)
    return parts


def _read_csv(
    path: Path,
    head: Block,
    blocks: Iterator[Block],
    options: Options,
    mapping: ColumnMap | None,
    *,
    skip_bad_rows: bool,
) -> tuple[Parts, list[str]]:
    header = _header(path, head)
    form = match(header, CSV_FORMATS) if mapping is None else None
    if form is not None:
        wanted = [column for column in form.columns if column.name in header]
        table = read_columns(path, chain([head], blocks), wanted, skip_bad_rows=skip_bad_rows)
        parts = _build(form, table, options)
    else:
        mapping = mapping or guess_columns(header)
        if mapping is None:
            raise no_match(path, 1, header, CSV_FORMATS)
        require_columns(path, mapping, header)
        row, blocks = _first_row(path, head, blocks)
        at = header.index(mapping.columns["arrival"])
        wanted = columns_of(mapping, "time" if at < len(row) and is_date(row[at]) else "number")
        parts = mapped_parts(read_columns(path, blocks, wanted, skip_bad_rows=skip_bad_rows), mapping, options)
    return parts, [name for name in header if name not in parts.table.columns]


def _header(path: Path, head: Block) -> list[str]:
    line = head.data.partition(b"\n")[0]
    header = split_line(path, 1, line, hint="")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise TraceError(f"{path}:1: the column {printable(twice[0])} stands twice in the header")
    for separator, words in OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise TraceError(
                f"{path}:1: the columns are separated by {words}; expected commas (and points in decimal fractions)"
            )
    return header


def _first_row(path: Path, head: Block, blocks: Iterator[Block]) -> tuple[list[str], Iterator[Block]]:
    """The fields of the first row after the header, none where there is none, and all blocks again."""
    taken = [head]
    line = head.data.partition(b"\n")[2].lstrip(b"\r\n").partition(b"\n")[0]
    while not line.strip() and (block := next(blocks, None)) is not None:
        taken.append(block)
        line = block.data.lstrip(b"\r\n").partition(b"\n")[0]
    try:
        row = split_line(path, 2, line)
    except TraceError:  # it is told of, or skipped, when all rows are read
        row = []
    return row, chain(taken, blocks)


def _build(form: CsvFormat | JsonlFormat, table: Table, options: Options) -> Parts:
    if not len(table):
        return Parts(table, {})
    parts = form.build(table, options)
    if not any(form is ours for ours in OURS):
        parts.notes.append(f"read as {form.name}: {form.times}")
    return parts
