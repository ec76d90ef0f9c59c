"""Coding-agent sessions: one row per model call, times counted from the start of the call's own session."""

import numpy as np

from shadowprice.workload.readers.formats import CsvFormat, Options, Parts
from shadowprice.workload.readers.table import Column, Table, tokens


def _build(table: Table, options: Options) -> Parts:
    fits = table.array("cached_prefix_tokens") < table.array("input_tokens")
    table = table.require(fits, "cached_prefix_tokens", "a whole number >= 0 and below input_tokens")
    session = table.array("session")
    columns = {
        "arrival_s": table.array("t_s"),
        "prompt_tokens": table.array("input_tokens"),
        "output_tokens": table.array("output_tokens"),
        "session": session,
        "cached_tokens": table.array("cached_prefix_tokens"),
    }
    together = len(np.unique(session))
    note = f"times count from each session's start: all {together} sessions start together (see stagger_sessions)"
    return Parts(table, columns, [note] if together > 1 else [])


AGENTIC = CsvFormat(
    "agentic-session CSV",
    (
        Column("session", "whole"),
        Column("t_s", "number"),
        tokens("input_tokens"),
        tokens("output_tokens"),
        tokens("cached_prefix_tokens", low=0),
    ),
    _build,
    times="t_s in seconds from the start of each session",
)
