"""What a trace looks like, in a few numbers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.workload.trace import Trace

DISPERSION_WINDOW_S = 60.0


@dataclass(frozen=True)
class LengthStatistics:
    """Tokens per request: mean, quantiles (linear interpolation) and the largest."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: int


@dataclass(frozen=True)
class TraceStatistics:
    """A trace in numbers; None where the trace is too short or lacks the column.

    rate_per_s: (requests - 1) / span_s. interarrival_cv: standard deviation over mean of the times between arrivals;
    1 for Poisson. dispersion_60s: variance over mean of the arrivals per whole 60 s window; 1 for Poisson.
    prompt_output_correlation: Pearson's, between the two lengths. prefix_reuse: share of prompt tokens in blocks that
    an earlier request had (from `prefix`), or that the source counted as cached (from `cached_tokens`).
    sessions, tenants: distinct ones. media_per_request: images, clips and sounds.
    """

    name: str
    requests: int
    span_s: float
    rate_per_s: float | None
    interarrival_cv: float | None
    dispersion_60s: float | None
    prompt_tokens: LengthStatistics | None
    output_tokens: LengthStatistics | None
    prompt_output_correlation: float | None
    prefix_reuse: float | None
    sessions: int | None
    tenants: int | None
    media_per_request: float | None
    skipped_rows: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain JSON values."""
        return asdict(self) | {"notes": list(self.notes)}

    def __str__(self) -> str:
        return "\n".join(f"{name:<26}{text}" for name, text in self.rows())

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each statistic that is known, as text for a table."""
        rows = [("trace", self.name), ("requests", f"{self.requests:,}"), ("span", f"{self.span_s:,.1f} s")]
        rows += _row("rate", self.rate_per_s, "{:.3f} requests/s")
        rows += _row("inter-arrival CV", self.interarrival_cv, "{:.3f} (Poisson: 1)")
        rows += _row("dispersion at 60 s", self.dispersion_60s, "{:.2f} (Poisson: 1)")
        for name, lengths in (("prompt tokens", self.prompt_tokens), ("output tokens", self.output_tokens)):
            if lengths is not None:
                text = "mean {:,.1f}  p50 {:,.0f}  p90 {:,.0f}  p99 {:,.0f}  max {:,}"
                rows.append((name, text.format(*asdict(lengths).values())))
        rows += _row("prompt/output correlation", self.prompt_output_correlation, "{:+.3f}")
        rows += _row(
            "prefix reuse", None if self.prefix_reuse is None else 100 * self.prefix_reuse, "{:.1f} % of prompt tokens"
        )
        rows += _row("sessions", self.sessions, "{:,}")
        rows += _row("tenants", self.tenants, "{:,}")
        rows += _row("media per request", self.media_per_request, "{:.2f}")
        rows += _row("skipped rows", self.skipped_rows or None, "{:,}")
        return rows + [("note", note) for note in self.notes]


def describe(trace: Trace) -> TraceStatistics:
    """The statistics of a trace."""
    gaps_s = np.diff(trace.arrival_s)
    rate = trace.rate_per_s
    return TraceStatistics(
        name=trace.name,
        requests=len(trace),
        span_s=trace.span_s,
        rate_per_s=rate if 0 < rate < np.inf else None,
        interarrival_cv=float(gaps_s.std() / gaps_s.mean()) if trace.span_s > 0 else None,
        dispersion_60s=dispersion(trace, DISPERSION_WINDOW_S),
        prompt_tokens=_lengths(trace.prompt_tokens),
        output_tokens=_lengths(trace.output_tokens),
        prompt_output_correlation=_correlation(trace.prompt_tokens, trace.output_tokens),
        prefix_reuse=prefix_reuse(trace),
        sessions=_distinct(trace.session),
        tenants=_distinct(trace.tenant),
        media_per_request=len(trace.media_tokens.values) / len(trace) if trace.media_tokens and len(trace) else None,
        skipped_rows=trace.skipped_rows,
        notes=trace.notes,
    )


def dispersion(trace: Trace, window_s: float) -> float | None:
    """Variance over mean of the arrivals per whole window after the first arrival; None for fewer than two windows."""
    windows = int(trace.span_s / window_s)
    if windows < 2:
        return None
    window = ((trace.arrival_s - trace.arrival_s[0]) / window_s).astype(np.int64)
    counts = np.bincount(window[window < windows], minlength=windows)
    return float(counts.var() / counts.mean())


def prefix_reuse(trace: Trace) -> float | None:
    """Share of prompt tokens in blocks that an earlier request had too, as an unlimited cache would find them."""
    if len(trace) == 0:
        return None
    total = float(trace.prompt_tokens.sum())
    if trace.prefix is None:
        return None if trace.cached_tokens is None else float(trace.cached_tokens.sum()) / total
    lengths = np.diff(trace.prefix.offsets)
    request = np.repeat(np.arange(len(trace)), lengths)
    place = np.arange(len(request)) - trace.prefix.offsets[:-1][request]
    # the last block of a prompt may be partly filled
    left = trace.prompt_tokens[request] - place * trace.prefix_block_tokens
    tokens = np.clip(left, 0, trace.prefix_block_tokens)
    _, first, which = np.unique(trace.prefix.values, return_index=True, return_inverse=True)
    seen = request[first][which] < request
    return float(tokens[seen].sum()) / total


def _row(name: str, value: float | None, text: str) -> list[tuple[str, str]]:
    return [] if value is None else [(name, text.format(value))]


def _lengths(tokens: IntArray) -> LengthStatistics | None:
    if len(tokens) == 0:
        return None
    p50, p90, p99 = (float(value) for value in np.quantile(tokens, [0.5, 0.9, 0.99]))
    return LengthStatistics(float(tokens.mean()), p50, p90, p99, int(tokens.max()))


def _correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float | None:
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max():
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _distinct(codes: IntArray | None) -> int | None:
    return None if codes is None else int(np.count_nonzero(np.unique(codes) != -1))
