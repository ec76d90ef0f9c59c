"""Logs measured on vLLM, one JSON object per request: lengths, arrival, and the engine's own timestamps.

`arrival_time` is a wall clock; `queued_ts`, `scheduled_ts`, `first_token_ts` and `last_token_ts` are the engine's
monotonic clock. The offset between the two clocks is not in the log. Convention: no request is queued before it
arrives, and the fastest one is queued at the instant of its arrival. So with

    offset = min over requests of (queued_ts - arrival_time)

every time is put on one axis whose zero is the first arrival. What this cannot see is the delay of that fastest
request (about a millisecond in the logs that we know) and the clocks' drift against each other.
"""

from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts, assemble, name_of
from shadowprice.workload.readers.jsonl_rows import read_rows
from shadowprice.workload.readers.mooncake import TokenCount
from shadowprice.workload.readers.source import Block, first_bytes, line_blocks
from shadowprice.workload.readers.table import Table
from shadowprice.workload.trace import Trace

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
LOOKED_AT = 100  # lines from which the kind of file is told
STAMPS = ("queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")


class MeasuredRow(msgspec.Struct):
    """One line of a measured log."""

    input_toks: TokenCount
    output_toks: TokenCount
    arrival_time: Seconds
    queued_ts: Seconds
    scheduled_ts: Seconds
    first_token_ts: Seconds
    last_token_ts: Seconds


@dataclass(frozen=True)
class MeasuredLog:
    """What an engine did with each request of `trace`, on one clock whose zero is the first arrival.

    arrival_s (in `trace`) <= queued_s <= scheduled_s <= first_token_s <= last_token_s, in order of arrival.

    Parameters
    ----------
    trace : Trace
        The n requests.
    queued_s : ndarray of float64, shape (n,)
        When the engine's scheduler first saw the request [s]: the arrival to use when only the engine is to be
        explained. It need not rise.
    scheduled_s : ndarray of float64, shape (n,)
        First admission [s].
    first_token_s : ndarray of float64, shape (n,)
        First token [s].
    last_token_s : ndarray of float64, shape (n,)
        Last token [s].
    """

    trace: Trace
    queued_s: FloatArray
    scheduled_s: FloatArray
    first_token_s: FloatArray
    last_token_s: FloatArray


def read_measured(path: str | Path, *, skip_bad_rows: bool = False) -> MeasuredLog:
    """Read a per-request log of an engine.

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
    if not any(_could_be_measured(line) for line in head.data.split(b"\n", LOOKED_AT)[:LOOKED_AT]):
        fields = ", ".join(MeasuredRow.__struct_fields__)
        raise TraceError(
            f"{path}: not a measured log; expected a JSON object per line with {fields} (docs/calibration.md)"
        )
    table = read_rows(path, chain([head], blocks), MeasuredRow, skip_bad_rows=skip_bad_rows)
    parts = _build(_in_order(table))
    trace = assemble(parts, name_of(path))
    order = np.argsort(parts.columns["arrival_s"], kind="stable")
    # differences inside each clock first: a wall clock in float64 is good to a quarter of a microsecond only
    queued = parts.table.array("queued_ts")
    zero = queued.min() + (queued - queued.min() - parts.columns["arrival_s"]).min()
    stamps = [np.asarray(parts.table.array(name)[order] - zero) for name in STAMPS]
    return MeasuredLog(trace, *stamps)


def _could_be_measured(line: bytes) -> bool:
    """Whether the line is a JSON object that has any of the fields."""
    try:
        found = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return not found.keys().isdisjoint(MeasuredRow.__struct_fields__)


def _in_order(table: Table) -> Table:
    if len(table) == 0:
        raise TraceError(f"{table.path}: none of its {table.skipped_rows} rows is usable; expected a measured request")
    for before, after in pairwise(STAMPS):
        table = table.require(table.array(before) <= table.array(after), after, f"a time no earlier than {before}")
    return table


def _build(table: Table, options: Options | None = None) -> Parts:
    arrival = table.array("arrival_time")
    columns = {
        "arrival_s": arrival - arrival.min(initial=np.inf),
        "prompt_tokens": table.array("input_toks"),
        "output_tokens": table.array("output_toks"),
    }
    return Parts(table, columns)


MEASURED = JsonlFormat("vLLM measured JSONL", MeasuredRow, lambda table, options: _build(_in_order(table)))
