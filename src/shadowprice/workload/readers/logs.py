"""Reading what an engine did with each request: the engine's own stamps, or what a load generator's client saw."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import ClientForm, client_parts
from shadowprice.workload.readers.documents import first_object, is_json, object_lines, read_client
from shadowprice.workload.readers.formats import assemble, name_of
from shadowprice.workload.readers.forms import client_form, refuse_summary
from shadowprice.workload.readers.jsonl_rows import read_rows
from shadowprice.workload.readers.measured import STAMPS, MeasuredLog, MeasuredRow, build, in_order
from shadowprice.workload.readers.source import Block, first_bytes, line_blocks
from shadowprice.workload.readers.table import Table

LOOKED_AT = 100  # lines from which the kind of file is told


def read_measured(path: str | Path, *, skip_bad_rows: bool = False) -> MeasuredLog:
    """Read a per-request log of an engine, or of the load generator before it.

    Parameters
    ----------
    path : str or Path
        The log; docs/calibration.md lists the forms.
    skip_bad_rows : bool
        Drop and count rows that cannot be used, instead of raising.

    Returns
    -------
    MeasuredLog
        Requests and their times on one clock.

    Raises
    ------
    TraceError
        Naming file, line and field.
    """
    path = Path(path)
    first_bytes(path)
    blocks = line_blocks(path)
    head = next(blocks, Block(1, b""))
    if is_json(head):
        blocks = object_lines(path, head, blocks)
        head = next(blocks)
        line, found = first_object(path, head, skip_bad_rows=True)
        form = client_form(found)
        if form is not None:
            return _of_client(path, chain([head], blocks), form, skip_bad_rows=skip_bad_rows)
        refuse_summary(path, line, found)
    if not any(_could_be_measured(line) for line in head.data.split(b"\n", LOOKED_AT)[:LOOKED_AT]):
        fields = ", ".join(MeasuredRow.__struct_fields__)
        raise TraceError(
            f"{path}: not a measured log; expected a JSON object per line with {fields}, or what a load generator "
            "writes of each request (docs/calibration.md)"
        )
    table = read_rows(path, chain([head], blocks), MeasuredRow, skip_bad_rows=skip_bad_rows)
    parts = build(in_order(table))
    trace = assemble(parts, name_of(path))
    order = np.argsort(parts.columns["arrival_s"], kind="stable")
    # differences inside each clock first: a wall clock in float64 is good to a quarter of a microsecond only
    queued = parts.table.array("queued_ts")
    zero = queued.min() + (queued - queued.min() - parts.columns["arrival_s"]).min()
    queued, scheduled, first, last = (np.asarray(parts.table.array(name)[order] - zero) for name in STAMPS)
    return MeasuredLog(trace, queued, scheduled, first, last)


def _of_client(path: Path, blocks: Iterator[Block], form: ClientForm, *, skip_bad_rows: bool) -> MeasuredLog:
    """What a client saw: when it sent each request, and when the first and the last token came."""
    table, left_out = read_client(path, blocks, form, skip_bad_rows=skip_bad_rows)
    table = _answered(table, form.name)
    parts = client_parts(table, left_out, form)
    trace = assemble(parts, name_of(path))
    table = parts.table
    order = np.argsort(parts.columns["arrival_s"], kind="stable")
    zero = table.array("start_s").min()
    first, last = (table.array(name)[order] - zero for name in ("first_s", "last_s"))
    return MeasuredLog(trace, trace.arrival_s, trace.arrival_s, first, last, admissions=False)


def _answered(table: Table, form: str) -> Table:
    """The rows with a first and a last token, in this order; TraceError for others, or where none is left."""
    if len(table) == 0:
        raise TraceError(f"{table.path}: none of its {table.skipped_rows} rows is usable; expected a measured request")
    if np.isnan(table.array("first_s")).all():
        raise TraceError(f"{table.path}: {form} without times of first tokens; expected a run with streamed answers")
    for before, after in (("start_s", "first_s"), ("first_s", "last_s")):
        fits = table.array(before) <= table.array(after)
        table = table.require(np.asarray(fits), after, f"a time no earlier than {before}")
    return table


def _could_be_measured(line: bytes) -> bool:
    """Whether the line is a JSON object that has any of the fields."""
    try:
        found = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return not found.keys().isdisjoint(MeasuredRow.__struct_fields__)
