"""GuideLLM's benchmarks (`guidellm benchmark --output-path benchmarks.json`): one object, its requests by outcome.

Field names differ by release; times are seconds since 1970, those of the first token also milliseconds after the start.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import ClientForm, Document, Sent, after, first_of, inner

PROMPT = ("prompt_tokens", "input_metrics.total_tokens", "input_metrics.text_tokens", "prompt_tokens_count")
OUTPUT = ("output_tokens", "output_metrics.total_tokens", "output_metrics.text_tokens", "output_tokens_count")
START = ("request_start_time", "start_time", "info.timings.request_start", "info.timings.resolve_start")
FIRST = ("first_token_time", "info.timings.first_token_iteration", "info.timings.first_iteration")
LAST = ("last_token_time", "info.timings.last_token_iteration", "info.timings.last_iteration")
END = ("request_end_time", "end_time", "info.timings.request_end")


def _sent(path: Path, documents: Sequence[Document]) -> Iterator[tuple[int, Sent | None]]:
    for line, document in documents:
        runs = document["benchmarks"]
        requests = [inner(run, "requests") for run in runs] if isinstance(runs, list) else []
        if not any(isinstance(found, dict | list) and found for found in requests):
            raise TraceError(
                f"{path}:{line}: guidellm benchmarks without requests; expected a file in which each has them "
                "(benchmarks[].requests.successful)"
            )
        for k, found in enumerate(requests):
            by_outcome = found if isinstance(found, dict) else {"successful": found}
            for outcome in ("successful", "errored", "incomplete"):
                rows = by_outcome.get(outcome)
                for i, row in enumerate(rows if isinstance(rows, list) else ()):
                    at = f"benchmarks[{k}].requests.{outcome}[{i}]"
                    yield line, _request(row, at) if outcome == "successful" else None


def _request(row: Any, at: str) -> Sent:
    start = first_of(row, *START)
    first = first_of(row, *FIRST)
    if first is None:
        first = after(start, first_of(row, "time_to_first_token_ms"), 1e-3)
    last = first_of(row, *LAST, *END)
    return Sent(start, first_of(row, *PROMPT), first_of(row, *OUTPUT), first, last, _session(row), at)


def _session(row: Any) -> Any:
    return first_of(row, "info.conversation_id")


GUIDELLM = ClientForm("guidellm benchmarks", "request start times in seconds", ("benchmarks",), _sent)
