"""JSON lines to typed columns: msgspec decodes block by block; a block that it refuses is read again line by line."""

import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.readers.source import Block
from shadowprice.workload.readers.table import SKIP_HINT, Table, Values, bad_value, join, ragged

FIELD_PATH = re.compile(r"(.*) - at `\$\.(\w+).*`", re.DOTALL)


def read_rows(
    path: Path,
    blocks: Iterator[Block],
    row: type[msgspec.Struct],
    *,
    skip_bad_rows: bool,
    fill: Mapping[str, Any] = MappingProxyType({}),
) -> Table:
    """Every line of the file decoded as a `row`, field by field into columns.

    fill: what stands for a field that a row lacks. Any other field that may be null must be present in all rows or in
    none.
    """
    decoder = msgspec.json.Decoder(row)
    tables = [_read_block(path, block, decoder, skip_bad_rows, fill) for block in blocks]
    skipped = sum(table.skipped_rows for table in tables)
    tables = [table for table in tables if len(table)]
    names = sorted({name for table in tables for name in table.columns})
    for table in tables:
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise _some_null(path, int(table.line[0]), missing[0])
    columns = {name: join([table.columns[name] for table in tables]) for name in names}
    lines = np.concatenate([table.line for table in tables]) if tables else np.zeros(0, dtype=np.int64)
    return Table(path, columns, lines, skip_bad_rows, skipped)


def decode_line(path: Path, line: int, data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """One line as the decoder's type; TraceError naming line and field."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _wrong_field(path, line, data, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TraceError(f"{path}:{line}: not one JSON object ({error}); expected one per line{SKIP_HINT}") from error


def _wrong_field(path: Path, line: int, data: bytes, message: str) -> TraceError:
    match = FIELD_PATH.fullmatch(message)
    if not match:
        return TraceError(f"{path}:{line}: {message}{SKIP_HINT}")
    accepted = match[1].removeprefix("Expected ").replace("`", "").split(", got")[0]
    try:
        found = msgspec.json.decode(data)[match[2]]
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):  # for example a number beyond float64
        return TraceError(f"{path}:{line}: {match[2]}: {match[1]}{SKIP_HINT}")
    return bad_value(path, line, match[2], found, accepted)


def _read_block(
    path: Path, block: Block, decoder: msgspec.json.Decoder[Any], skip: bool, fill: Mapping[str, Any]
) -> Table:
    lines = np.arange(block.data.count(b"\n") + (not block.data.endswith(b"\n"))) + block.first_line
    skipped = 0
    try:
        rows = decoder.decode_lines(block.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        rows = []
    if len(rows) != len(lines):  # refused, or its objects may not be the file's lines
        rows, lines, skipped = _read_lines(path, block, decoder, skip)
    names = decoder.type.__struct_fields__ if rows else ()
    hints = typing.get_type_hints(decoder.type)
    columns = {}
    for name in names:
        values = [getattr(row, name) for row in rows]
        if name in fill:
            values = [fill[name] if value is None else value for value in values]
        if all(value is None for value in values):
            continue
        columns[name] = _pack(path, lines, name, values, hints[name])
    return Table(path, columns, lines, skip, skipped)


def _read_lines(path: Path, block: Block, decoder: Any, skip: bool) -> tuple[list[Any], Any, int]:
    rows, lines, skipped = [], [], 0
    for line, data in enumerate(block.data.removesuffix(b"\n").split(b"\n"), block.first_line):
        if not data.strip():
            continue  # a blank line holds no request
        try:
            rows.append(decode_line(path, line, data, decoder))
            lines.append(line)
        except TraceError:
            if not skip:
                raise
            skipped += 1
    return rows, np.array(lines, dtype=np.int64), skipped


def _pack(path: Path, lines: Any, name: str, values: list[Any], hint: Any) -> Values:
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    kinds = set(typing.get_args(hint)) if optional else {hint}
    for line, value in zip(lines, values, strict=True):
        if value is None:
            raise _some_null(path, int(line), name)
    lists = next((kind for kind in kinds if typing.get_origin(kind) is list), None)
    if lists is not None:
        return ragged(values, np.float64 if float in typing.get_args(lists) else np.int64)
    if str in kinds:  # a name may be a number
        return np.array([str(value) for value in values], dtype=object)
    return np.array(values, dtype=np.float64 if float in kinds else np.int64 if int in kinds else object)


def _some_null(path: Path, line: int, name: str) -> TraceError:
    return TraceError(f"{path}:{line}: {name} is null or absent; expected a value, as other rows have one")
