"""What a file format is, and how its columns become a trace."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.table import Column, Table, Values, take
from shadowprice.workload.trace import Trace

MANY_BAD = 0.1  # share of rows: above it, dropping them is said first of all
EPOCH_MS = 1e11  # no trace begins in the year 5138; in milliseconds this is 1973
BUSY_TOKENS_PER_S = 3e7  # of a thousand workers, prompts and answers together
FEW = 10  # requests from which a rate says something


@dataclass(frozen=True)
class Options:
    """How to read: spread arrivals inside coarse time buckets or keep them at the bucket's start, and the seed.

    block_tokens: tokens of a block of prefix hashes, where the reader is told; None: by the form, or the lengths.
    """

    spread_buckets: bool
    rng: np.random.Generator
    block_tokens: int | None = None


@dataclass(frozen=True)
class Parts:
    """What a format makes of its table: the rows that are good, the trace's columns for them, and what to tell."""

    table: Table
    columns: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CsvFormat:
    """A CSV form, known by its required column names. times: what its times are taken to be, for the notes."""

    name: str
    columns: tuple[Column, ...]
    build: Callable[[Table, Options], Parts]
    times: str = ""
    excluded: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()

    @property
    def required(self) -> list[str]:
        """The columns without which a file is not of this form."""
        return [column.name for column in self.columns if column.required]

    @property
    def asks(self) -> list[str]:
        """What a file of this form should have, for messages."""
        return self.required


@dataclass(frozen=True)
class JsonlFormat:
    """A form of one JSON object per line, known by the fields that `row` requires and those that are of others.

    times: what its times are taken to be, for the notes. excluded: a line with one of these fields is of another form.
    one_of: a line with none of these is, too. fill: what stands for a field that some rows lack; a field without such a
    value is there in all rows or in none.
    """

    name: str
    row: type[msgspec.Struct]
    build: Callable[[Table, Options], Parts]
    times: str = ""
    excluded: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    fill: Mapping[str, Any] = field(default_factory=dict)

    @property
    def required(self) -> list[str]:
        """The fields without which a line is not of this form."""
        return [field.encode_name for field in msgspec.structs.fields(self.row) if field.required]

    @property
    def asks(self) -> list[str]:
        """What a file of this form should have, for messages."""
        return [*self.one_of[:1], *self.required]


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
    total = table.skipped_rows + len(table)
    if table.skipped_rows > MANY_BAD * total:
        share = 100 * table.skipped_rows / total
        notes.insert(
            0,
            f"WARNING: {table.skipped_rows:,} of {total:,} rows ({share:.0f} %) could not be used and were "
            "dropped: what is left is not what was served",
        )
    trace = Trace(**columns, name=name, skipped_rows=table.skipped_rows, notes=tuple(notes))
    return replace(trace, notes=(*trace.notes, *_odd_times(trace)))


def _odd_times(trace: Trace) -> list[str]:
    """What is odd about the times, as numbers of seconds."""
    notes = []
    if trace.arrival_s[0] >= EPOCH_MS:
        notes.append(
            f"arrival_s begins at {trace.arrival_s[0]:.4g}: read as seconds, but it looks like milliseconds since 1970"
        )
    tokens = trace.prompt_tokens + trace.output_tokens
    rate = trace.rate_per_s
    if len(trace) >= FEW and np.isfinite(rate) and rate * float(tokens.mean()) > BUSY_TOKENS_PER_S:
        notes.append(
            f"{rate:,.0f} requests/s of {tokens.mean():,.0f} tokens would keep a thousand workers busy: "
            "are its times in another unit?"
        )
    return notes


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


def spread(arrival_s: FloatArray, options: Options) -> tuple[FloatArray, list[str]]:
    """The times, and notes; where they are bucketed, uniform inside their bucket and in file order.

    A log that notes the time every 3 s, or in whole seconds, would otherwise turn the requests of a step into one
    burst.
    """
    width_s = _step_s(arrival_s)
    if width_s is None:
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


def _step_s(arrival_s: FloatArray) -> float | None:
    """The step of a second or more in which these times come; None where they do not, or share no time.

    Ten rows or more, some at one time, and either two or more per distinct time and a second or more between these
    (the step is the smallest such distance), or whole seconds throughout (the step divides all distances).
    """
    distinct_s = np.unique(arrival_s)
    if len(arrival_s) < 10 or len(distinct_s) < 2 or len(distinct_s) == len(arrival_s):
        return None
    apart_s = np.diff(distinct_s)
    if len(arrival_s) >= 2 * len(distinct_s) and apart_s.min() >= 1:
        return float(apart_s.min())
    if np.abs(arrival_s).max() < 2**53 and np.all(arrival_s == np.floor(arrival_s)):
        return float(np.gcd.reduce(apart_s.astype(np.int64)))
    return None
