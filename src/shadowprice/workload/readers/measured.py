"""Logs measured on vLLM, one JSON object per request: lengths, arrival, and the engine's own timestamps.

`arrival_time` is a wall clock; `queued_ts`, `scheduled_ts`, `first_token_ts` and `last_token_ts` are the engine's
monotonic clock. The offset between the two clocks is not in the log. Convention: no request is queued before it
arrives, and the fastest one is queued at the instant of its arrival. So with

    offset = min over requests of (queued_ts - arrival_time)

every time is put on one axis whose zero is the first arrival. What this cannot see is the delay of that fastest
request (about a millisecond in the logs that we know) and the clocks' drift against each other.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts
from shadowprice.workload.readers.table import Table, TokenCount
from shadowprice.workload.trace import Trace

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
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
    admissions : bool
        Whether the engine's own stamps are in the log; a client sees only when it sent the request, which then stands
        for `queued_s` and `scheduled_s` too.
    """

    trace: Trace
    queued_s: FloatArray
    scheduled_s: FloatArray
    first_token_s: FloatArray
    last_token_s: FloatArray
    admissions: bool = True


def in_order(table: Table) -> Table:
    """The rows whose stamps do not fall; TraceError for others, or where none is left."""
    if len(table) == 0:
        raise TraceError(f"{table.path}: none of its {table.skipped_rows} rows is usable; expected a measured request")
    for before, after in pairwise(STAMPS):
        table = table.require(table.array(before) <= table.array(after), after, f"a time no earlier than {before}")
    return table


def build(table: Table, options: Options | None = None) -> Parts:
    """The trace's columns."""
    arrival = table.array("arrival_time")
    columns = {
        "arrival_s": arrival - arrival.min(initial=np.inf),
        "prompt_tokens": table.array("input_toks"),
        "output_tokens": table.array("output_toks"),
    }
    return Parts(table, columns)


MEASURED = JsonlFormat(
    "vLLM measured JSONL",
    MeasuredRow,
    lambda table, options: build(in_order(table)),
    times="arrival_time in seconds, from the first",
)
