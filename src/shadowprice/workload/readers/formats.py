"""What a file format is, and how its columns become a trace."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.table import Column, Table, Values, take
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class Options:
    """How to read: spread arrivals inside coarse time buckets or keep them at the bucket's start, and the seed."""

    spread_buckets: bool
    rng: np.random.Generator


@dataclass(frozen=True)
class Parts:
    """What a format makes of its table: the rows that are good, the trace's columns for them, and what to tell."""

    table: Table
    columns: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CsvFormat:
    """A CSV form, known by its required column names."""

    name: str
    columns: tuple[Column, ...]
    build: Callable[[Table, Options], Parts]

    @property
    def required(self) -> list[str]:
        """The columns without which a file is not of this form."""
        return [column.name for column in self.columns if column.required]


@dataclass(frozen=True)
class JsonlFormat:
    """A form of one JSON object per line, known by the fields that `row` requires."""

    name: str
    row: type[msgspec.Struct]
    build: Callable[[Table, Options], Parts]

    @property
    def required(self) -> list[str]:
        """The fields without which a line is not of this form."""
        return [field.encode_name for field in msgspec.structs.fields(self.row) if field.required]


def assemble(parts: Parts, name: str) -> Trace:
    """The trace in order of arrival (stable), with the count of dropped rows and the notes."""
    table, columns, notes = parts.table, parts.columns, list(parts.notes)
    if len(table) == 0:
        raise TraceError(f"{table.path}: none of its {table.skipped_rows} rows is usable; expected a request")
    arrival_s = columns["arrival_s"]
    late = int(np.count_nonzero(np.diff(arrival_s) < 0))
    if late:
        order = np.argsort(arrival_s, kind="stable")
        columns = {key: take(value, order) if _is_column(value) else value for key, value in columns.items()}
        notes.append(f"{late} rows stood after a later one; the rows were sorted by time")
    return Trace(**columns, name=name, skipped_rows=table.skipped_rows, notes=tuple(notes))


def name_of(path: Path) -> str:
    """What a trace is called: the file's name without the endings that say how it is stored."""
    name = path.name
    for endings in ((".gz", ".zst"), (".csv", ".jsonl", ".json", ".parquet", ".txt", ".log")):
        if name.endswith(endings):
            name = name.rpartition(".")[0]
    return name or path.name


def _is_column(value: Values | int | None) -> bool:
    return value is not None and not isinstance(value, int)


def seconds_since_first(times_ns: npt.NDArray[np.int64]) -> FloatArray:
    """Nanosecond times as seconds after the earliest of them."""
    if len(times_ns) == 0:
        return np.zeros(0)
    return np.asarray((times_ns - times_ns.min()) / 1e9)


def spread(times_ms: npt.NDArray[Any], options: Options) -> tuple[FloatArray, list[str]]:
    """Times in milliseconds as seconds; where they are bucketed, uniform inside their bucket and in file order.

    Bucketed means: ten rows or more, two or more per distinct time on average, and distinct times at least 1 s apart.
    The bucket's width is the smallest distance between distinct times. A log that notes the time every 3 s would
    otherwise turn each 3 s of requests into one burst.
    """
    arrival_s = np.asarray(times_ms / 1e3)
    distinct_s = np.unique(arrival_s)
    if len(arrival_s) < 10 or len(distinct_s) < 2 or len(arrival_s) < 2 * len(distinct_s):
        return arrival_s, []
    width_s = float(np.diff(distinct_s).min())
    if width_s < 1:
        return arrival_s, []
    said = f"times come in steps of about {width_s:g} s"
    if not options.spread_buckets:
        return arrival_s, [f"{said} and were kept so: arrivals come in bursts"]
    offset_s = options.rng.uniform(0, width_s, len(arrival_s))
    # sorted inside each bucket, so that requests keep the order of the file
    order = np.lexsort((offset_s, arrival_s))
    spread_s = np.empty(len(arrival_s))
    spread_s[np.argsort(arrival_s, kind="stable")] = (arrival_s + offset_s)[order]
    return spread_s, [f"{said}; arrivals were spread uniformly inside each (seeded)"]
