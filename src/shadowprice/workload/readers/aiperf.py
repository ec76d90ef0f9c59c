"""AIPerf's profile_export.jsonl: a line per request, start and end in nanoseconds since 1970, the rest with units."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shadowprice.workload.readers.client import ClientForm, Document, Sent, after, first_of, inner

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}


def _sent(path: Path, documents: Sequence[Document]) -> Iterator[tuple[int, Sent | None]]:
    starts = [inner(row, "metadata", "request_start_ns") for _, row in documents]
    zero = min((start for start in starts if isinstance(start, int) and not isinstance(start, bool)), default=0)
    for k, (line, row) in enumerate(documents):
        about = row["metadata"]
        failed = row.get("error") is not None or inner(about, "was_cancelled") is True
        warming = inner(about, "benchmark_phase") == "warmup"
        yield line, None if failed or warming else _request(row, zero, f"request {k}")


def _request(row: dict[str, Any], zero_ns: int, at: str) -> Sent:
    about, metrics = row["metadata"], row["metrics"]
    start = _since(inner(about, "request_start_ns"), zero_ns)
    first = after(start, _value(metrics, "time_to_first_token"), _scale(metrics, "time_to_first_token"))
    last = after(start, _value(metrics, "request_latency"), _scale(metrics, "request_latency"))
    if last is None:
        last = _since(inner(about, "request_end_ns"), zero_ns)
    output = first_of(metrics, "output_sequence_length.value", "output_token_count.value")
    session = first_of(about, "x_correlation_id", "conversation_id")
    return Sent(start, _value(metrics, "input_sequence_length"), output, first, last, session, at)


def _value(metrics: Any, name: str) -> Any:
    return inner(metrics, name, "value")


def _scale(metrics: Any, name: str) -> float:
    unit = inner(metrics, name, "unit")
    return SECONDS.get(unit, 1e-3) if isinstance(unit, str) else 1e-3


def _since(time_ns: Any, zero_ns: int) -> Any:
    """Seconds since the first request: nanoseconds since 1970 do not fit a float."""
    return (time_ns - zero_ns) / 1e9 if isinstance(time_ns, int) and not isinstance(time_ns, bool) else time_ns


AIPERF = ClientForm("AIPerf profile export", "request_start_ns in nanoseconds", ("metadata", "metrics"), _sent)
