"""JSON lines of any fields, read by a map of which of them mean what; a dotted name is one object inside another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import inner
from shadowprice.workload.readers.csv_rows import timestamps_ns
from shadowprice.workload.readers.documents import documents
from shadowprice.workload.readers.mapped import ColumnMap, columns_of
from shadowprice.workload.readers.source import Block
from shadowprice.workload.readers.table import Column, Table, bad_value, fits_range


def field_of(row: dict[str, Any], name: str) -> Any:
    """The value of this name, or of this dotted path; None where there is none."""
    return row[name] if name in row else inner(row, *name.split("."))


def is_date(value: Any) -> bool:
    """Whether an arrival is written as a date, and not as a number."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def read_mapped_rows(path: Path, blocks: Iterator[Block], mapping: ColumnMap, *, skip_bad_rows: bool) -> Table:
    """The mapped fields of every object, typed."""
    rows, skipped = documents(path, blocks, skip_bad_rows=skip_bad_rows)
    arrivals = (field_of(row, mapping.columns["arrival"]) for _, row in rows)
    dates = is_date(next((value for value in arrivals if value is not None), None))
    columns = columns_of(mapping, "time" if dates else "number")
    values: list[list[Any]] = []
    lines = []
    for line, row in rows:
        try:
            values.append([_typed(path, line, column, field_of(row, column.name)) for column in columns])
            lines.append(line)
        except TraceError:
            if not skip_bad_rows:
                raise
            skipped += 1
    types = {"whole": np.int64, "number": np.float64, "time": np.int64, "text": object}
    packed = {
        column.name: np.array([row[k] for row in values], dtype=types[column.kind]) for k, column in enumerate(columns)
    }
    table = Table(path, dict(packed), np.array(lines, dtype=np.int64), skip_bad_rows, skipped)
    for column in columns:
        table = table.require(fits_range(column, table.columns[column.name]), column.name, column.accepted)
    return table


def _typed(path: Path, line: int, column: Column, value: Any) -> Any:
    try:
        if column.kind == "text":
            return "" if value is None else str(value)
        if value is None or isinstance(value, bool | dict | list):
            raise ValueError(value)
        if column.kind == "time":
            return int(timestamps_ns(pa.array([str(value)]))[0])
        number = float(value)
        if column.kind == "number" and np.isfinite(number):
            return number
        if column.kind == "whole" and number == int(number) and abs(number) < 2**63:
            return int(value) if isinstance(value, int) else int(number)
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        pass
    raise bad_value(path, line, column.name, value, column.accepted)
