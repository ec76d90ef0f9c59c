"""Spans: a real exporter sends them to a receiver that reads the protocol."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from shadowprice.router.http.request import Request, RequestHead
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.tracing import Tracer
from tests.router.finished_requests import chat, finished

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def spans_of(*rows: tuple[FinishedRequest, Request]) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received: list[Any] = []

    async def traces(request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        received.extend(span for of in message.resource_spans for scope in of.scope_spans for span in scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        tracer = Tracer(f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces")
        for row, request in rows:
            tracer.add(row, request, "127.0.0.1")
        await asyncio.get_running_loop().run_in_executor(None, tracer.close)
    finally:
        await runner.cleanup()
    return received


def over(status: int, fields: dict[bytes, bytes]) -> tuple[FinishedRequest, Request]:
    request = Request(RequestHead(b"POST", b"/v1/completions", [], fields), None)
    row = finished(chat(1))[0]
    times = {"queue_s": 0.5, "ttft_s": 1.0, "e2e_s": 3.0}
    return replace(row, worker="http://w:1", prompt_tokens=7, output_tokens=3, status=status, **times), request


def test_a_span_says_where_a_request_went_and_stands_under_the_client_s() -> None:
    good = over(200, {b"traceparent": PARENT, b"authorization": b"Bearer secret"})
    first, second = asyncio.run(spans_of(good, over(502, {})))
    assert first.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert first.parent_span_id.hex() == "b7ad6b7169203331"
    assert 2.999e9 < first.end_time_unix_nano - first.start_time_unix_nano < 3.001e9
    values = {a.key: a.value for a in first.attributes}
    assert values["gen_ai.usage.output_tokens"].int_value == 3
    assert values["gen_ai.latency.time_in_queue"].double_value == 0.5
    assert values["gen_ai.latency.time_to_first_token"].double_value == 1.0
    assert values["server.address"].string_value == "http://w:1"
    assert b"secret" not in first.SerializeToString()
    assert first.status.code == 0 and second.status.code == 2
    assert second.trace_id != first.trace_id
