"""OpenTelemetry spans with the attributes for generative AI (gen_ai.usage.*), as OTLP JSON or as exporters print them.

OTLP: objects with `resourceSpans`, times in nanoseconds since 1970 as text. Others: one span per object, its times as
ISO 8601 text or nanoseconds, its attributes as an object; or an object per trace with `spans`. A span that only sums up
others (an agent's, a gateway's) is an ancestor of spans that count tokens themselves: only those count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shadowprice.errors import TraceError
from shadowprice.workload.readers.client import ClientForm, Document, Sent, after, first_of, inner

PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
FIRST = (
    "gen_ai.latency.time_to_first_token",
    "gen_ai.server.time_to_first_token",
    "gen_ai.response.time_to_first_chunk",
)
SESSION = ("gen_ai.conversation.id", "session.id")
VALUES = ("intValue", "doubleValue", "stringValue", "boolValue")


@dataclass(frozen=True)
class Span:
    """A span that counts tokens: what it says, and which span it is part of."""

    own: str
    parent: str
    start_ns: Any
    end_ns: Any
    said: dict[str, Any]
    line: int
    at: str


def _sent(path: Path, documents: Sequence[Document]) -> Iterator[tuple[int, Sent | None]]:
    parents: dict[str, str] = {}
    counting: list[Span] = []
    for line, at, raw in _spans(documents):
        span = _read(line, at, raw)
        parents[span.own] = span.parent
        if any(span.said.get(name) is not None for name in PROMPT):
            counting.append(span)
    if not counting:
        raise TraceError(f"{path}: OpenTelemetry spans of which none has {PROMPT[0]}; expected spans of model calls")
    sums = _ancestors([span.own for span in counting], parents)
    starts = [span.start_ns for span in counting if isinstance(span.start_ns, int)]
    zero_ns = min(starts, default=0)
    for span in counting:
        if span.own and span.own in sums:
            continue
        yield span.line, _request(span, zero_ns)


def _request(span: Span, zero_ns: int) -> Sent | None:
    output = next((span.said[name] for name in OUTPUT if span.said.get(name) is not None), None)
    if output in (None, 0):  # it failed, or its end was not recorded
        return None
    prompt = next(span.said[name] for name in PROMPT if span.said.get(name) is not None)
    start, end = (_seconds(time, zero_ns) for time in (span.start_ns, span.end_ns))
    first = after(start, next((span.said[name] for name in FIRST if name in span.said), None))
    session = next((span.said[name] for name in SESSION if name in span.said), None)
    return Sent(start, prompt, output, first, end, session, span.at)


def _ancestors(spans: Sequence[str], parents: dict[str, str]) -> set[str]:
    """All spans of which one of these is a part."""
    found: set[str] = set()
    for one in spans:
        above = parents.get(one, "")
        while above and above not in found:
            found.add(above)
            above = parents.get(above, "")
    return found


def _spans(documents: Sequence[Document]) -> Iterator[tuple[int, str, Any]]:
    for line, document in documents:
        if "resourceSpans" in document:
            for k, of_resource in enumerate(_list(document["resourceSpans"])):
                for j, scope in enumerate(_list(first_of(of_resource, "scopeSpans", "instrumentationLibrarySpans"))):
                    for i, span in enumerate(_list(inner(scope, "spans"))):
                        yield line, f"resourceSpans[{k}].scopeSpans[{j}].spans[{i}]", span
        elif "spans" in document:
            for i, span in enumerate(_list(document["spans"])):
                yield line, f"spans[{i}]", span
        else:
            yield line, "span", document


def _read(line: int, at: str, raw: Any) -> Span:
    attributes = inner(raw, "attributes")
    if isinstance(attributes, list):  # OTLP's
        attributes = {
            pair["key"]: first_of(pair, *(f"value.{kind}" for kind in VALUES))
            for pair in attributes
            if isinstance(pair, dict) and isinstance(pair.get("key"), str)
        }
    said = attributes if isinstance(attributes, dict) else {}
    said = {name: _whole(value) for name, value in said.items()}
    own = first_of(raw, "spanId", "span_id", "context.span_id")
    parent = first_of(raw, "parentSpanId", "parent_span_id", "parent_id")
    start, end = first_of(raw, "startTimeUnixNano", "start_time"), first_of(raw, "endTimeUnixNano", "end_time")
    own, parent = (name if isinstance(name, str) else "" for name in (own, parent))
    return Span(own, parent, _nanoseconds(start), _nanoseconds(end), said, line, at)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> Any:
    """OTLP writes whole numbers as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19 else value


def _nanoseconds(time: Any) -> Any:
    """A time as nanoseconds since 1970; what it is where it is none."""
    time = _whole(time)
    if isinstance(time, str):
        try:
            moment = datetime.fromisoformat(time)
        except ValueError:
            return time
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if isinstance(time, float) and 0 <= time < 1e11:  # seconds
        return int(time * 1e9)
    return time


def _seconds(time_ns: Any, zero_ns: int) -> Any:
    return (time_ns - zero_ns) / 1e9 if isinstance(time_ns, int) and not isinstance(time_ns, bool) else time_ns


_TIMES = "starts of the spans"
OTLP = ClientForm("OpenTelemetry spans (OTLP JSON)", _TIMES, ("resourceSpans",), _sent)
TRACES_OF_SPANS = ClientForm("OpenTelemetry spans by trace", _TIMES, ("trace_id", "spans"), _sent)
SPANS = ClientForm("OpenTelemetry spans", _TIMES, ("attributes", "start_time", "name"), _sent)
