"""CSV to typed columns: Arrow parses block by block; a block that it refuses is read again line by line.

Both ways accept the same values; the slow one exists to say which line and field is wrong.
"""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from shadowprice.errors import TraceError
from shadowprice.workload.readers.source import Block
from shadowprice.workload.readers.table import (
    SKIP_HINT,
    Column,
    Table,
    Values,
    bad_value,
    fits_range,
    join,
    ragged,
)
from shadowprice.workload.trace import Ragged

ARROW_TYPES = {"whole": pa.int64(), "number": pa.float64()}
SLOW_BYTES = 32 << 10  # what is read line by line at once: the way in Python is fifty times slower
QUOTED = re.compile(rb'(?:^|(?<=[,\n]))"[^"]*"(?=[,\r\n]|\Z)')  # a whole field
WHOLE = re.compile(r"([+-]?\d{1,19})(\.0*)?", re.ASCII)


def read_columns(path: Path, blocks: Iterator[Block], columns: list[Column], *, skip_bad_rows: bool) -> Table:
    """The wanted columns of all rows after the header, which is the first line of the first block."""
    tables: list[Table] = []
    header: list[str] = []
    for block in blocks:
        if not header:
            line, _, data = block.data.partition(b"\n")
            header, block = split_line(path, 1, line), Block(2, data)
        if block.data.strip():
            tables += _read_block(path, block, header, columns, skip_bad_rows)
    if not tables:
        raise TraceError(f"{path}: a header and no rows; expected at least one request")
    joined = {column.name: join([table.columns[column.name] for table in tables]) for column in columns}
    lines = np.concatenate([table.line for table in tables])
    return Table(path, joined, lines, skip_bad_rows, sum(table.skipped_rows for table in tables))


def split_line(path: Path, line: int, data: bytes, hint: str = SKIP_HINT) -> list[str]:
    """One CSV line as its fields; TraceError, ending with the hint, where it is not UTF-8 or not one CSV row."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        found = f"byte {error.start} of the line is 0x{data[error.start]:02x}"
        raise TraceError(f"{path}:{line}: {found}; expected UTF-8 text{hint}") from error
    try:
        return [field.strip() for field in next(csv.reader([text.rstrip("\r")], strict=True), [])]
    except csv.Error as error:
        raise TraceError(f"{path}:{line}: not a CSV row ({error}){hint}") from error


def _read_block(path: Path, block: Block, header: list[str], columns: list[Column], skip: bool) -> Iterator[Table]:
    """The block's rows in order; where Arrow refuses, halves of it, so that only lines near a bad one cost time."""
    table = _read_fast(path, block, header, columns, skip)
    middle = block.data.rfind(b"\n", 0, len(block.data) // 2) + 1
    if table is None and middle and len(block.data) > SLOW_BYTES:
        yield from _read_block(path, Block(block.first_line, block.data[:middle]), header, columns, skip)
        second_line = block.first_line + block.data.count(b"\n", 0, middle)
        yield from _read_block(path, Block(second_line, block.data[middle:]), header, columns, skip)
        return
    if table is None:
        table = _read_lines(path, block, header, columns, skip)
    for column in columns:
        table = table.require(fits_range(column, table.columns[column.name]), column.name, column.accepted)
    yield table


def _read_fast(path: Path, block: Block, header: list[str], columns: list[Column], skip: bool) -> Table | None:
    """Arrow's reading of the block; None where Arrow refuses, or where its rows may not be the file's lines."""
    lines = block.data.count(b"\n") + (not block.data.endswith(b"\n"))
    if b"0x" in block.data or b"0X" in block.data:  # Arrow would read hexadecimal numbers
        return None
    quotes = block.data.count(b'"')  # Arrow would close an open one at the end, and read on behind a closed one
    if quotes and quotes != 2 * sum(1 for _ in QUOTED.finditer(block.data)):
        return None
    if b'""' in block.data:  # Arrow goes on with a number after an empty quoted string
        return None
    if not (block.data.isascii() or _is_utf8(block.data)):  # Arrow does not look at columns that it skips
        return None
    if block.data.count(b"\r") != block.data.count(b"\r\n"):  # Arrow would end a line at a lone carriage return
        return None
    types = {column.name: ARROW_TYPES.get(column.kind, pa.string()) for column in columns}
    convert = arrow_csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
    )
    read = arrow_csv.ReadOptions(column_names=header, block_size=4 << 20)
    try:
        rows = arrow_csv.read_csv(pa.BufferReader(_copied(block.data)), read_options=read, convert_options=convert)
        if rows.num_rows != lines:
            return None
        values = {column.name: _from_arrow(column, rows[column.name].combine_chunks()) for column in columns}
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return Table(path, values, block.first_line + np.arange(lines), skip)


def _copied(data: bytes) -> pa.Buffer:
    """In memory of Arrow's: its threads may drop these bytes after the reading, and dropping Python's takes the
    interpreter, which aborts a process that has just ended."""
    copy = pa.allocate_buffer(len(data))
    np.frombuffer(copy, np.uint8)[:] = np.frombuffer(data, np.uint8)
    return copy


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _from_arrow(column: Column, array: Any) -> Values:
    if column.kind == "time":
        return np.asarray(timestamps_ns(array))
    if column.kind == "text":
        return np.asarray(pc.utf8_trim_whitespace(array).to_numpy(zero_copy_only=False), dtype=object)
    if column.kind in ("wholes", "numbers"):
        dtype = pa.int64() if column.kind == "wholes" else pa.float64()
        trimmed = pc.utf8_trim_whitespace(array)
        # an empty cell is an empty list, and not one empty entry
        cells = pc.if_else(pc.equal(trimmed, ""), pa.scalar([], pa.list_(pa.string())), pc.split_pattern(trimmed, ";"))
        lengths = pc.list_value_length(cells).to_numpy(zero_copy_only=False)
        flat = pc.utf8_trim_whitespace(pc.list_flatten(cells)).cast(dtype)
        return Ragged.from_lengths(flat.to_numpy(zero_copy_only=False), lengths)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def timestamps_ns(strings: Any) -> Any:
    """ISO 8601 times as int64 nanoseconds since 1970 UTC; a time without a zone is taken as UTC."""
    try:
        return strings.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return strings.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()


def _read_lines(path: Path, block: Block, header: list[str], columns: list[Column], skip: bool) -> Table:
    """The block line by line: raises on the first bad line, or counts it where bad rows are to be skipped."""
    place = {column.name: header.index(column.name) for column in columns}
    rows: list[list[Any]] = []
    lines: list[int] = []
    skipped = 0
    texts = block.data.removesuffix(b"\n").split(b"\n")
    for line, data in enumerate(texts, block.first_line):
        if not data.strip():
            continue  # a blank line holds no request
        try:
            fields = split_line(path, line, data)
            if len(fields) != len(header):
                cut = line == block.first_line + len(texts) - 1 and not block.data.endswith(b"\n")
                raise TraceError(_wrong_count(path, line, fields, header, cut))
            rows.append([_parse(path, line, column, fields[place[column.name]]) for column in columns])
            lines.append(line)
        except TraceError:
            if not skip:
                raise
            skipped += 1
    values = {column.name: _pack(column, [row[i] for row in rows]) for i, column in enumerate(columns)}
    return Table(path, values, np.array(lines, dtype=np.int64), skip, skipped)


def _wrong_count(path: Path, line: int, fields: list[str], header: list[str], cut: bool) -> str:
    hint = " (the file ends inside this line: was it cut off?)" if cut else ""
    return f"{path}:{line}: {len(fields)} fields; expected {len(header)}: {','.join(header)}{hint}{SKIP_HINT}"


def _parse(path: Path, line: int, column: Column, text: str) -> Any:
    try:
        return _PARSERS[column.kind](text)
    except (ValueError, pa.ArrowException) as error:
        raise bad_value(path, line, column.name, text, column.accepted) from error


def _whole(text: str) -> int:
    match = WHOLE.fullmatch(text.strip())
    value = int(match[1]) if match else None
    if value is None or not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    return value


def _list_of(parse: Any) -> Any:
    return lambda text: [parse(entry) for entry in text.split(";")] if text else []


_PARSERS: dict[str, Any] = {
    "whole": _whole,
    "number": _number,
    "time": lambda text: int(timestamps_ns(pa.array([text]))[0]),
    "text": str,
    "wholes": _list_of(_whole),
    "numbers": _list_of(_number),
}


def _pack(column: Column, values: list[Any]) -> Values:
    if column.kind == "wholes":
        return ragged(values, np.int64)
    if column.kind == "numbers":
        return ragged(values, np.float64)
    return np.array(values, dtype={"text": object, "number": np.float64}.get(column.kind, np.int64))
