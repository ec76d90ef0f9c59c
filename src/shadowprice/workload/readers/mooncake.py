"""Mooncake traces (github.com/kvcache-ai/Mooncake, FAST25-release, Apache-2.0; Qin et al., FAST 2025).

Milliseconds, lengths, and a hash per block of prompt tokens (the last block may be partly filled). In the published
files a block has 512 tokens; tools that write this form use others. AIPerf's additions: `session_id`, and turns that
give a `delay` after the turn before instead of a time.
"""

from typing import Annotated, Any

import msgspec
import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import JsonlFormat, Options, Parts, spread
from shadowprice.workload.readers.prefix_blocks import with_block_tokens
from shadowprice.workload.readers.table import Hash, Table, TokenCount, codes

BLOCK_TOKENS = 512
LATEST_MS = 1e14
EPOCH_S = (1e8, 1e11)  # numbers of seconds since 1970, from 1973 on

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST_MS)]


class MooncakeRow(msgspec.Struct):
    """One line of a Mooncake trace."""

    input_length: TokenCount
    output_length: TokenCount
    timestamp: Milliseconds | None = None
    delay: Milliseconds | None = None
    session_id: str | int | None = None
    hash_ids: list[Hash] | None = None


def _build(table: Table, options: Options) -> Parts:
    notes = []
    session = codes(table.array("session_id"))
    has_time = np.isfinite(table.array("timestamp"))
    turns = session >= 0
    fits = has_time | (np.isfinite(table.array("delay")) & turns)
    table = table.require(fits, "timestamp", "milliseconds, or a delay after the turn before of the session_id")
    if len(table) < len(fits):
        return _build(table, options)
    _require_milliseconds(table)
    times_ms = table.array("timestamp")
    columns: dict[str, Any] = {}
    if not has_time.all():
        times_ms = _after_the_turn_before(table, session)
        notes.append(
            f"{np.count_nonzero(~has_time)} turns give a delay instead of a time: they arrive that long after the turn "
            "before arrived, since when it was answered is not in the file"
        )
    if "hash_ids" in table.columns:
        rows = len(table)
        table, size, said = with_block_tokens(table, "input_length", "hash_ids", BLOCK_TOKENS, options)
        if len(table) < rows:
            return _build(table, options)
        columns |= {"prefix": table.ragged("hash_ids"), "prefix_block_tokens": size}
        notes.append(said)
    if turns.any():
        columns["session"] = session
    arrival_s, spread_notes = spread(times_ms / 1e3, options)
    columns |= {
        "arrival_s": arrival_s,
        "prompt_tokens": table.array("input_length"),
        "output_tokens": table.array("output_length"),
    }
    return Parts(table, columns, spread_notes + notes)


def _require_milliseconds(table: Table) -> None:
    """Raise TraceError where `timestamp` can hardly be milliseconds, as the same names are used with seconds."""
    times = table.array("timestamp")
    known = times[np.isfinite(times)]
    if len(known) == 0:
        return
    fraction = np.flatnonzero(np.isfinite(times) & (times != np.floor(times)))
    since_1970 = (known >= EPOCH_S[0]).all() and (known < EPOCH_S[1]).all()
    if len(fraction) or (since_1970 and "hash_ids" not in table.columns):
        row = fraction[0] if len(fraction) else 0
        raise TraceError(
            f"{table.path}:{table.line[row]}: timestamp is {times[row]:.15g}; this form (Mooncake's) has whole "
            "milliseconds, and this looks like seconds. Say what it is: --columns "
            "arrival=timestamp:s,prompt=input_length,output=output_length (or timestamp:ms)"
        )


def _after_the_turn_before(table: Table, session: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    """Times in milliseconds: given, or the delay after the turn before of the session; a first turn's is from 0."""
    times_ms, delay_ms = table.array("timestamp").copy(), table.array("delay")
    last: dict[int, float] = {}
    for row, code in enumerate(session.tolist()):
        if not np.isfinite(times_ms[row]):
            times_ms[row] = last.get(code, 0.0) + delay_ms[row]
        last[code] = times_ms[row]
    return np.asarray(times_ms)


MOONCAKE = JsonlFormat(
    "Mooncake JSONL",
    MooncakeRow,
    _build,
    times="timestamp in milliseconds",
    one_of=("timestamp", "delay"),
    excluded=("chat_id", "parent_chat_id", "turn", "duration", "img_ids", "request_id"),
    fill={"timestamp": np.nan, "delay": np.nan, "session_id": ""},
)
