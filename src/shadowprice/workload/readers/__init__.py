"""Reading traces: the format is told from the content, and every bad row is an error or is counted."""

from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.presets import PRESETS
from shadowprice.workload.public import PUBLIC_TRACES, fetch_public
from shadowprice.workload.readers.agentic import AGENTIC
from shadowprice.workload.readers.azure import AZURE, AZURE_MULTIMODAL
from shadowprice.workload.readers.burstgpt import BURSTGPT
from shadowprice.workload.readers.csv_rows import read_columns, split_line
from shadowprice.workload.readers.formats import CsvFormat, JsonlFormat, Options, Parts, assemble, name_of
from shadowprice.workload.readers.jsonl_rows import decode_line, read_rows
from shadowprice.workload.readers.measured import MEASURED, MeasuredLog, read_measured
from shadowprice.workload.readers.mooncake import MOONCAKE
from shadowprice.workload.readers.own import OWN_CSV, OWN_JSONL, read_parquet
from shadowprice.workload.readers.record import RECORD_JSONL, finished_lines, is_record, journals_of, read_record
from shadowprice.workload.readers.record import build as build_record
from shadowprice.workload.readers.servegen import SERVEGEN
from shadowprice.workload.readers.source import PARQUET_MAGIC, Block, first_bytes, line_blocks
from shadowprice.workload.readers.table import Table, printable
from shadowprice.workload.trace import Trace

__all__ = ["CSV_FORMATS", "JSONL_FORMATS", "MeasuredLog", "read_measured", "read_trace"]

CSV_FORMATS = (AZURE, AZURE_MULTIMODAL, BURSTGPT, SERVEGEN, AGENTIC, OWN_CSV)
JSONL_FORMATS = (MOONCAKE, MEASURED, OWN_JSONL, RECORD_JSONL)

Form = TypeVar("Form", CsvFormat, JsonlFormat)


def read_trace(source: str | Path, *, skip_bad_rows: bool = False, spread_buckets: bool = True, seed: int = 0) -> Trace:
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
    options = Options(spread_buckets, np.random.default_rng(seed))
    if journals_of(path) or first_bytes(path).startswith(PARQUET_MAGIC):
        parts, unused = _read_parquet(path, options, skip_bad_rows=skip_bad_rows)
    else:
        parts, unused = _read_text(path, options, skip_bad_rows=skip_bad_rows)
    if unused:
        parts.notes.append(f"columns not used: {', '.join(unused)}")
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


def _read_parquet(path: Path, options: Options, *, skip_bad_rows: bool) -> tuple[Parts, list[str]]:
    if not is_record(path):
        table, unused = read_parquet(path, skip_bad_rows=skip_bad_rows)
        return OWN_CSV.build(table, options), unused
    table, unused, notes = read_record(path, skip_bad_rows=skip_bad_rows)
    parts = build_record(table, options)
    parts.notes.extend(notes)
    return parts, unused


def _read_text(path: Path, options: Options, *, skip_bad_rows: bool) -> tuple[Parts, list[str]]:
    blocks = line_blocks(path)
    head = next(blocks, Block(1, b""))
    blocks = chain([head], blocks)
    if head.data.lstrip().startswith(b"{"):
        form, unused = _jsonl_format(path, head, skip_bad_rows=skip_bad_rows)
        notes: list[str] = []
        if form is RECORD_JSONL:
            blocks = finished_lines(path, blocks, notes)
        table = read_rows(path, blocks, form.row, skip_bad_rows=skip_bad_rows)
        parts = _build(form, table, options)
        parts.notes.extend(notes)
        return parts, unused
    if head.data.lstrip().startswith(b"["):
        raise TraceError(f"{path}:1: a JSON array; expected one JSON object per line, or CSV, or Parquet")
    csv_form, header = _csv_format(path, head)
    wanted = [column for column in csv_form.columns if column.name in header]
    table = read_columns(path, blocks, wanted, skip_bad_rows=skip_bad_rows)
    return _build(csv_form, table, options), [name or "(unnamed)" for name in header if name not in table.columns]


def _build(form: CsvFormat | JsonlFormat, table: Table, options: Options) -> Parts:
    return form.build(table, options) if len(table) else Parts(table, {})


def _csv_format(path: Path, head: Block) -> tuple[CsvFormat, list[str]]:
    header = split_line(path, 1, head.data.partition(b"\n")[0], hint="")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise TraceError(f"{path}:1: the column {printable(twice[0])} stands twice in the header")
    return _match(path, 1, header, CSV_FORMATS), header


def _jsonl_format(path: Path, head: Block, *, skip_bad_rows: bool) -> tuple[JsonlFormat, list[str]]:
    """The form of the first line; where bad rows are to be skipped, of the first that is a JSON object."""
    decoder = msgspec.json.Decoder(dict[str, object])
    for line, data in enumerate(head.data.split(b"\n"), head.first_line):
        if not data.strip():
            continue
        try:
            first = decode_line(path, line, data, decoder)
        except TraceError:
            if not skip_bad_rows:
                raise
            continue
        form = _match(path, line, list(first), JSONL_FORMATS)
        return form, [name for name in first if name not in form.row.__struct_encode_fields__]
    raise TraceError(f"{path}: no line of it is a JSON object; expected one per line")


def _match(path: Path, line: int, found: list[str], forms: tuple[Form, ...]) -> Form:
    """The form with the most required columns among those whose required columns were all found."""
    complete = [form for form in forms if set(form.required) <= set(found)]
    if complete:
        return max(complete, key=lambda form: len(form.required))
    nearest = max(forms, key=lambda form: len(set(form.required) & set(found)) / len(form.required))
    missing = [name for name in nearest.required if name not in found]
    accepted = "; ".join(f"{form.name}: {','.join(form.required)}" for form in forms)
    shown = printable(", ".join(found))[:200] or "none"
    raise TraceError(
        f"{path}:{line}: no known trace format has the columns found ({shown}); the nearest is {nearest.name}, "
        f"which also needs {', '.join(missing)}. Accepted: {accepted}"
    )
