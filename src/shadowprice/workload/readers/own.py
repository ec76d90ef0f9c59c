"""Our own form, one column per field of Trace, as CSV, JSONL or Parquet.

Lists (prefix, media_tokens, media_cost) are separated by ';' in CSV and are lists elsewhere. `prefix_block_tokens`
stands in every row and is the same in all.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import CsvFormat, JsonlFormat, Options, Parts
from shadowprice.workload.readers.table import (
    Column,
    Hash,
    Kind,
    Table,
    TokenCount,
    Values,
    ZeroOrMore,
    fits_range,
    tokens,
)
from shadowprice.workload.trace import Ragged

COLUMNS = (
    Column("arrival_s", "number"),
    tokens("prompt_tokens"),
    tokens("output_tokens"),
    tokens("predicted_output", required=False),
    tokens("predicted_low", required=False),
    tokens("predicted_high", required=False),
    Column("session", "whole", required=False),
    Column("tenant", "whole", required=False),
    Column("priority", "whole", required=False),
    Column("deadline_s", "number", 0, required=False),
    Column("value", "number", required=False),
    tokens("cached_tokens", low=0, required=False),
    Column("prefix", "wholes", required=False),
    tokens("prefix_block_tokens", required=False),
    tokens("media_tokens", low=0, kind="wholes", required=False),
    Column("media_cost", "numbers", 0, required=False),
)


class OwnRow(msgspec.Struct, omit_defaults=True):
    """One request, as a line of JSON."""

    arrival_s: float
    prompt_tokens: TokenCount
    output_tokens: TokenCount
    predicted_output: TokenCount | None = None
    predicted_low: TokenCount | None = None
    predicted_high: TokenCount | None = None
    session: Hash | None = None
    tenant: Hash | None = None
    priority: Hash | None = None
    deadline_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    value: float | None = None
    cached_tokens: ZeroOrMore | None = None
    prefix: list[Hash] | None = None
    prefix_block_tokens: TokenCount | None = None
    media_tokens: list[ZeroOrMore] | None = None
    media_cost: list[Annotated[float, msgspec.Meta(ge=0)]] | None = None


def _build(table: Table, options: Options) -> Parts:
    if "cached_tokens" in table.columns:
        fits = table.array("cached_tokens") < table.array("prompt_tokens")
        table = table.require(fits, "cached_tokens", "a whole number >= 0 and below prompt_tokens")
    if ("prefix" in table.columns) != ("prefix_block_tokens" in table.columns):
        raise TraceError(f"{table.path}: prefix and prefix_block_tokens need each other; found only one of them")
    if "prefix" in table.columns and len(table):
        blocks = table.array("prefix_block_tokens")
        table = table.require(blocks == blocks[0], "prefix_block_tokens", f"the {blocks[0]} of the first row")
    columns: dict[str, Any] = dict(table.columns)
    if "prefix" in columns and len(table):
        columns["prefix_block_tokens"] = int(table.array("prefix_block_tokens")[0])
    return Parts(table, columns)


OWN_CSV = CsvFormat("shadowprice CSV", COLUMNS, _build)
OWN_JSONL = JsonlFormat("shadowprice JSONL", OwnRow, _build)


def read_parquet(path: Path, columns: tuple[Column, ...] = COLUMNS, *, skip_bad_rows: bool) -> tuple[Table, list[str]]:
    """These columns of a Parquet file, and the names of those that are not of them. Lines count rows."""
    try:
        file = parquet.read_table(path)
        names = file.column_names
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise TraceError(f"{path}: not a readable Parquet file, damaged or cut off ({error})") from error
    missing = [column.name for column in columns if column.required and column.name not in names]
    if missing:
        raise TraceError(f"{path}: no column {missing[0]}; found {', '.join(names) or 'none'}")
    wanted = [column for column in columns if column.name in names]
    values = {column.name: _from_parquet(path, column, file[column.name]) for column in wanted}
    table = Table(path, values, 1 + np.arange(file.num_rows), skip_bad_rows)
    for column in wanted:
        table = table.require(fits_range(column, table.columns[column.name]), column.name, column.accepted)
    return table, [name for name in names if name not in values]


def parquet_columns(path: Path) -> dict[str, Kind]:
    """The names of a Parquet file's columns; "time" for those of dates, "number" for all others.

    Raises TraceError where it cannot be read.
    """
    try:
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise TraceError(f"{path}: not a readable Parquet file, damaged or cut off ({error})") from error
    dates = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_string, pa.types.is_large_string)
    return {field.name: "time" if any(is_one(field.type) for is_one in dates) else "number" for field in schema}


def _from_parquet(path: Path, column: Column, chunks: Any) -> Values:
    number = {"whole": pa.int64(), "wholes": pa.int64(), "text": pa.string()}.get(column.kind, pa.float64())
    try:
        cells = pa.concat_arrays(chunks.chunks) if chunks.num_chunks else pa.array([], chunks.type)
        if column.kind == "time":
            flat, lengths = cells.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()), None
        elif column.kind in ("whole", "number", "text"):
            flat, lengths = cells.cast(number), None
        else:
            cells = cells.cast(pa.list_(number))
            flat, lengths = cells.flatten(), cells.value_lengths()
    except pa.ArrowException as error:
        raise TraceError(f"{path}: {column.name} is {chunks.type}; expected {column.accepted} ({error})") from error
    if cells.null_count or flat.null_count:
        row = int(np.argmax(cells.is_null().to_numpy(zero_copy_only=False))) + 1
        raise TraceError(f"{path}:{row}: {column.name} holds a null; expected {column.accepted}")
    values = np.array(flat.to_numpy(zero_copy_only=False))
    return values if lengths is None else Ragged.from_lengths(values, lengths.to_numpy())
