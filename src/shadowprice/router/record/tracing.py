"""OpenTelemetry: a span per request, sent by OTLP over HTTP. Needs the extra `otel`.

A request's `traceparent` header goes on to the worker unchanged, as all headers do, so the worker's span and this one
stand side by side under the client's.
"""

import time
from typing import TYPE_CHECKING

from shadowprice.errors import RouterError

if TYPE_CHECKING:
    from shadowprice.router.exchange import Exchange

NANO = 1_000_000_000


class Tracer:
    """Spans are made when a request is over, and sent in batches by a thread. Raises RouterError without the extra."""

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, Status, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise RouterError(
                "--otlp-traces-endpoint needs opentelemetry; expected: pip install 'shadowprice[otel]'"
            ) from error
        self._provider = TracerProvider(
            resource=Resource({"service.name": "shadowprice-router"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("shadowprice.router")
        self._context_of = TraceContextTextMapPropagator().extract
        self._kind = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)

    def add(self, exchange: "Exchange", now_s: float, how: str) -> None:
        """The span of a request that is over; names follow OpenTelemetry's conventions for HTTP and generative AI."""
        request = exchange.request
        carrier = {
            name: request.fields[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in request.fields
        }
        attributes: dict[str, str | int | float] = {
            "http.request.method": request.method.decode("latin-1"),
            "url.path": request.path,
            "http.response.status_code": exchange.status,
            "server.address": "" if exchange.worker is None else exchange.worker.name,
            "gen_ai.usage.input_tokens": exchange.prompt_tokens,
            "gen_ai.usage.output_tokens": exchange.generated,
            "gen_ai.latency.time_in_queue": (exchange.sent_s or now_s) - exchange.arrival_s,
            "gen_ai.latency.e2e": now_s - exchange.arrival_s,
            "shadowprice.attempts": exchange.attempts,
            "shadowprice.stop": how,
        }
        if exchange.event_stream and exchange.generated:
            attributes["gen_ai.latency.time_to_first_token"] = exchange.first_s - exchange.arrival_s
        end_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{attributes['http.request.method']} {request.path}",
            context=self._context_of(carrier),
            kind=self._kind,
            attributes=attributes,
            start_time=end_ns - int((now_s - exchange.arrival_s) * NANO),
        )
        if exchange.status >= 500 or how == "truncated":
            span.set_status(self._error)
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
