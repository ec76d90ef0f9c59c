"""OpenTelemetry: a span per request, sent by OTLP over HTTP. Needs the extra `otel`.

A request's `traceparent` header goes on to the worker unchanged, as all headers do, so the worker's span and this one
stand side by side under the client's.
"""

import time

from shadowprice.extras import needs
from shadowprice.router.http.request import Request
from shadowprice.router.record.finished import FinishedRequest

NANO = 1_000_000_000


class Tracer:
    """Spans are made when a request is over, and sent in batches by a thread. Raises MissingExtraError without otel."""

    def __init__(self, endpoint: str) -> None:
        needs("otel")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = TracerProvider(
            resource=Resource({"service.name": "shadowprice-router"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("shadowprice.router")
        self._context_of = TraceContextTextMapPropagator().extract
        self._kind = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)

    def add(self, row: FinishedRequest, request: Request, address: str) -> None:
        """The span of a request that is over; names follow OpenTelemetry's conventions for HTTP and generative AI."""
        carrier = {
            name: request.head.fields[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in request.head.fields
        }
        attributes: dict[str, str | int | float] = {
            "http.request.head.method": request.head.method.decode("latin-1"),
            "url.path": request.head.path,
            "http.response.status_code": row.status,
            "server.address": row.worker,
            "gen_ai.usage.input_tokens": row.prompt_tokens,
            "gen_ai.usage.output_tokens": row.output_tokens,
            "gen_ai.latency.time_in_queue": row.queue_s,
            "gen_ai.latency.e2e": row.e2e_s,
            "shadowprice.attempts": row.attempts,
            "shadowprice.stop": row.stop,
        }
        if row.ttft_s is not None:
            attributes["gen_ai.latency.time_to_first_token"] = row.ttft_s
        end_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{attributes['http.request.head.method']} {request.head.path}",
            context=self._context_of(carrier),
            kind=self._kind,
            attributes=attributes,
            start_time=end_ns - int(row.e2e_s * NANO),
        )
        if row.status >= 500 or row.stop == "truncated":
            span.set_status(self._error)
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
