"""Traces out of traces: every operation returns a new trace and keeps all columns that are present.

Raises TraceError on arguments without meaning. Times are seconds of the trace's own clock.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import TraceError
from shadowprice.workload.require import require
from shadowprice.workload.trace import Ragged, Trace


def scale_rate(trace: Trace, factor: float) -> Trace:
    """The same requests, arriving `factor` times as fast; the first arrival stays where it is."""
    require(np.isfinite(factor) and factor > 0, f"the rate factor is {factor}; expected a number > 0")
    if len(trace) == 0:
        return trace
    first_s = trace.arrival_s[0]
    return replace(trace, arrival_s=first_s + (trace.arrival_s - first_s) / factor)


def slice_time(trace: Trace, start_s: float, end_s: float) -> Trace:
    """The requests that arrive in [start_s, end_s)."""
    require(start_s < end_s, f"the slice [{start_s}, {end_s}) is empty; expected start_s < end_s")
    first, last = np.searchsorted(trace.arrival_s, [start_s, end_s])
    return trace.take(np.arange(first, last))


def thin(trace: Trace, keep: float, rng: np.random.Generator) -> Trace:
    """Each request kept independently with probability `keep`: the rate falls by that factor, the shape stays."""
    require(0 <= keep <= 1, f"the share to keep is {keep}; expected a number from 0 to 1")
    return trace.take(np.flatnonzero(rng.random(len(trace)) < keep))


def shift(trace: Trace, by_s: float) -> Trace:
    """All arrivals `by_s` seconds later (earlier where negative)."""
    require(bool(np.isfinite(by_s)), f"the shift is {by_s}; expected a finite number of seconds")
    return replace(trace, arrival_s=trace.arrival_s + by_s)


def concatenate(traces: Sequence[Trace], gap_s: float = 0.0) -> Trace:
    """The traces one after another, each starting `gap_s` seconds after the last arrival of the one before.

    Sessions of different traces are kept apart; equal tenants and equal prefix hashes mean the same in all.
    """
    require(np.isfinite(gap_s) and gap_s >= 0, f"the gap is {gap_s}; expected a number of seconds >= 0")
    moved = list(traces[:1])
    for trace in traces[1:]:
        last_s = moved[-1].arrival_s[-1] if len(moved[-1]) else 0.0
        first_s = trace.arrival_s[0] if len(trace) else 0.0
        moved.append(shift(trace, last_s + gap_s - first_s))
    return merge(moved)


def merge(traces: Sequence[Trace]) -> Trace:
    """All requests of the traces on one clock, in order of arrival. Sessions are kept apart, as in `concatenate`."""
    require(len(traces) > 0, "there is no trace to join; expected one or more")
    first = traces[0]
    for trace in traces[1:]:
        for field in fields(Trace):
            if (getattr(trace, field.name) is None) != (getattr(first, field.name) is None):
                raise TraceError(f"{trace.name} and {first.name} cannot be joined: only one of them has {field.name}")
        if trace.prefix is not None and trace.prefix_block_tokens != first.prefix_block_tokens:
            raise TraceError(f"{trace.name} and {first.name} cannot be joined: their prefix blocks differ in size")
    traces = _with_sessions_apart(traces)
    joined = {field.name: _joined([getattr(trace, field.name) for trace in traces]) for field in fields(Trace)}
    order = np.argsort(joined["arrival_s"], kind="stable")
    sorted_columns: dict[str, Any] = {key: column.take(order) for key, column in joined.items() if column is not None}
    return replace(
        first,
        **sorted_columns,
        name=" + ".join(dict.fromkeys(trace.name for trace in traces)),
        skipped_rows=sum(trace.skipped_rows for trace in traces),
        notes=tuple(dict.fromkeys(note for trace in traces for note in trace.notes)),
    )


def resample(trace: Trace, duration_s: float, rng: np.random.Generator, window_s: float = 60.0) -> Trace:
    """A trace of `duration_s` from random windows of this one, laid end to end (moving-block bootstrap, Kuensch 1989).

    Each window of `window_s` seconds starts anywhere in the trace; arrivals inside it keep their distances, so
    burstiness up to that length survives. Clock: [0, duration_s). Sessions and prefixes are those of the source.
    """
    require(0 < window_s <= trace.span_s, f"the window is {window_s} s; expected > 0 and at most {trace.span_s} s")
    require(0 < duration_s < np.inf, f"the duration is {duration_s} s; expected a number > 0")
    count = int(np.ceil(duration_s / window_s))
    starts_s = trace.arrival_s[0] + rng.random(count) * (trace.span_s - window_s)
    first = np.searchsorted(trace.arrival_s, starts_s)
    lengths = np.searchsorted(trace.arrival_s, starts_s + window_s) - first
    window = np.repeat(np.arange(count), lengths)
    index = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[window]
    offset_s = np.clip(trace.arrival_s[index] - starts_s[window], 0, window_s)
    arrival_s = window * window_s + offset_s
    inside = arrival_s < duration_s
    return trace.take(index[inside], arrival_s[inside])


def stagger_sessions(trace: Trace, sessions_per_s: float, rng: np.random.Generator) -> Trace:
    """Each session moved to a start of its own, Poisson at `sessions_per_s`, in random order; pauses inside stay.

    For sources whose times count from the start of each session. Requests without a session (-1) stay.
    """
    if trace.session is None:
        raise TraceError(f"{trace.name}: no request has a session; expected the column session")
    require(0 < sessions_per_s < np.inf, f"the rate is {sessions_per_s} sessions/s; expected a number > 0")
    sessions, which = np.unique(trace.session, return_inverse=True)
    start_s = rng.permutation(np.cumsum(rng.exponential(1 / sessions_per_s, len(sessions))))
    start_s[sessions == -1] = 0.0
    arrival_s = trace.arrival_s + start_s[which]
    order = np.argsort(arrival_s, kind="stable")
    return trace.take(order, arrival_s[order])


def _with_sessions_apart(traces: Sequence[Trace]) -> list[Trace]:
    """The traces with session codes that no two of them share; -1 (no session) stays."""
    apart, used = [], 0
    for trace in traces:
        session = trace.session
        if session is not None and len(session):
            codes, which = np.unique(session, return_inverse=True)
            fresh: IntArray = np.where(codes == -1, -1, used + np.arange(len(codes)))
            trace = replace(trace, session=fresh[which])
            used += len(codes)
        apart.append(trace)
    return apart


def _joined(columns: list[Any]) -> Any:
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    if isinstance(columns[0], Ragged):
        return Ragged.concatenate(columns)
    return None
