"""inference-perf's per_request_lifecycle_metrics.json: an array of requests, seconds of the client's clock."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shadowprice.workload.readers.client import ClientForm, Document, Sent, first_of

PROMPT = ("info.input_tokens", "info.request_metrics.text.input_tokens")
OUTPUT = ("info.output_tokens", "info.response_metrics.output_tokens")
TOKENS = ("info.output_token_times", "info.response_metrics.output_token_times")


def _sent(path: Path, documents: Sequence[Document]) -> Iterator[tuple[int, Sent | None]]:
    for k, (line, row) in enumerate(documents):
        yield line, None if row.get("error") is not None else _request(row, f"request {k}")


def _request(row: dict[str, Any], at: str) -> Sent:
    times = first_of(row, *TOKENS)
    streamed = isinstance(times, list) and len(times) > 0
    first, last = (times[0], times[-1]) if streamed else (None, row["end_time"])
    return Sent(
        row["start_time"], first_of(row, *PROMPT), first_of(row, *OUTPUT), first, last, row.get("session_id"), at
    )


INFERENCE_PERF = ClientForm(
    "inference-perf per-request metrics", "start_time in seconds", ("start_time", "end_time", "info"), _sent
)
