"""What a request and its answer look like on the other side of the router."""

import asyncio
import gzip
import json

import aiohttp
import pytest

from tests.router.live import RawClient, ask, post, routed, run, streamed
from tests.router.scripted_worker import LAST_CHUNK, STREAM_HEAD, Call, answers, chunk, scripted, streams, whole


def test_a_request_reaches_the_worker_byte_for_byte_but_for_what_belongs_to_the_hop() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker) as server:
            body = json.dumps({"model": "m", "prompt": "é", "nobody_knows": {"this": [1, None]}}).encode() + b" \n"
            fields = (
                b"X-Tenant: a\r\nx-odd_Case: b\r\nX-Tenant: c\r\nX-Latin: \xe9\r\nX-Empty: \r\n"
                b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
                b"Proxy-Connection: close\r\nAuthorization: Bearer t\r\n"
            )
            await ask(server, post(body, b"/v1/completions?a=1&b=%20x", fields))
            call = worker.calls[0]
            assert (call.method, call.target, call.body) == (b"POST", b"/v1/completions?a=1&b=%20x", body)
            assert call.headers == [
                (b"Host", b"r"),
                (b"X-Tenant", b"a"),
                (b"x-odd_Case", b"b"),
                (b"X-Tenant", b"c"),
                (b"X-Latin", b"\xe9"),
                (b"X-Empty", b""),
                (b"Authorization", b"Bearer t"),
                (b"Via", b"1.1 shadowprice"),
                (b"Content-Length", b"%d" % len(body)),
            ]

    run(work())


def test_an_answer_reaches_the_client_byte_for_byte_but_for_what_belongs_to_the_hop() -> None:
    async def work() -> None:
        fields = (
            b"Content-Type: text/x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=5\r\nConnection: x-also\r\nX-Also: 1\r\nX-Latin: \xe9\r\n"
        )
        body = bytes(range(256)) * 3
        async with scripted(answers(whole(body, "201 Created", fields))) as worker, routed(worker) as server:
            got = await ask(server, post(b"{}", b"/anything/else"))
            assert (got.status, got.body, got.whole) == (201, body, True)
            assert got.headers == [
                (b"content-length", b"%d" % len(body)),
                (b"content-type", b"text/x"),
                (b"set-cookie", b"a=1"),
                (b"set-cookie", b"b=2"),
                (b"x-latin", b"\xe9"),
            ]

    run(work())


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_and_paths_pass(method: str) -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"" if method == "HEAD" else b"x"))) as worker, routed(worker) as server:
            for target in ("/", "/v1/models", "/tokenize", "/a/../b;c=%2F?d=e?f", "//double"):
                request = f"{method} {target} HTTP/1.1\r\nHost: r\r\n\r\n".encode()
                assert (await ask(server, request)).status == 200
                assert (worker.calls[-1].method, worker.calls[-1].target) == (method.encode(), target.encode())

    run(work())


def test_answers_without_a_body_end_at_their_head_and_keep_the_connections() -> None:
    async def answer(call: Call) -> None:
        length = b"Content-Length: 11\r\n" if call.target != b"/204" else b""
        status = {b"/304": b"304 Not Modified", b"/204": b"204 No Content"}.get(call.target, b"200 OK")
        await call.send(b"HTTP/1.1 %b\r\n%bETag: x\r\n\r\n" % (status, length))

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            before = worker.connections
            for method, target, length in (("HEAD", "/a", [b"11"]), ("GET", "/304", [b"11"]), ("GET", "/204", [])):
                await client.send(f"{method} {target} HTTP/1.1\r\nHost: r\r\n\r\n".encode())
                got = await client.response(method.encode())
                assert got.whole and not got.body and got.values(b"content-length") == length
            assert worker.connections == before + 1

    run(work())


def test_bodies_of_any_framing_come_out_whole() -> None:
    body = b"0123456789" * 20_000
    framings = {
        b"/length": whole(body),
        b"/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
        + b"".join(chunk(body[i : i + 999]) for i in range(0, len(body), 999))
        + b"0\r\nX: trailer\r\n\r\n",
        b"/until-close": b"HTTP/1.1 200 OK\r\n\r\n" + body,
        b"/old": b"HTTP/1.0 200 OK\r\n\r\n" + body,
    }

    async def answer(call: Call) -> None:
        await call.send(framings[call.target])
        if call.target in (b"/until-close", b"/old"):
            call.close()

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            for target in framings:
                for version, close in (("1.1", False), ("1.0", True), ("1.0", False)):
                    client = await RawClient.to(server)
                    keep = "" if close else "Connection: keep-alive\r\n"
                    await client.send(f"GET {target.decode()} HTTP/{version}\r\nHost: r\r\n{keep}\r\n".encode())
                    got = await client.response()
                    assert got.body == body and got.whole, (target, version)
                    stays = version == "1.1" or (not close and target == b"/length")
                    assert (b"close" in got.values(b"connection")) is not stays

    run(work())


def test_chunked_requests_arrive_with_a_length_and_without_extensions_or_trailers() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker) as server:
            chunks = b'3;ext="a;b"\r\nabc\r\n' + b"".join(b"2\r\nxy\r\n" for _ in range(2000)) + b"0\r\nX-T: 1\r\n\r\n"
            head = b"POST /v1/x HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: Chunked\r\n\r\n"
            for piece in (1 << 20, 7):
                client = await RawClient.to(server)
                data = head + chunks
                for i in range(0, len(data), piece):
                    client.writer.write(data[i : i + piece])
                assert (await client.response()).status == 200
                assert worker.calls[-1].body == b"abc" + b"xy" * 2000
                assert worker.calls[-1].values(b"content-length") == [b"4003"]
                assert not worker.calls[-1].values(b"x-t") and not worker.calls[-1].values(b"transfer-encoding")

    run(work())


def test_the_target_in_absolute_form_gives_path_and_host() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker) as server:
            for target, path, host in (
                (b"http://h:1/a?b", b"/a?b", b"h:1"),
                (b"HTTP://h", b"/", b"h"),
                (b"https://h?x=/a", b"/?x=/a", b"h"),
            ):
                await ask(server, b"GET %b HTTP/1.1\r\nHost: other\r\n\r\n" % target)
                assert (worker.calls[-1].target, worker.calls[-1].values(b"host")) == (path, [host])
            for target in (b"http://user@h/a", b"ftp://h/a", b"*", b"http:///a", b"*a"):
                assert (await ask(server, b"GET %b HTTP/1.1\r\nHost: r\r\n\r\n" % target)).status == 400
            assert (await ask(server, b"OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n")).status == 200

    run(work())


def test_max_forwards_is_counted_down_and_ends_at_the_router() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"there"))) as worker, routed(worker) as server:
            for method in (b"OPTIONS", b"GET"):
                for hops in (b"0", b"00", b"1", b"012", b"9" * 5000, b"x", b"-1"):
                    request = b"%b /v1/x HTTP/1.1\r\nHost: r\r\nMax-Forwards: %b\r\n\r\n" % (method, hops)
                    assert (await ask(server, request)).status == 200
            passed = [call.values(b"max-forwards") for call in worker.calls]
            assert passed[:5] == [[b"0"], [b"11"], [b"999999998"], [b"x"], [b"-1"]]
            assert passed[5:] == [[b"0"], [b"00"], [b"1"], [b"012"], [b"9" * 5000], [b"x"], [b"-1"]]

    run(work())


def test_interim_answers_of_a_worker_do_not_disturb_the_real_one() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    async def work() -> None:
        async with scripted(answers(interim + whole(b"ok"))) as worker, routed(worker) as server:
            got = await ask(server, post(b"{}"))
            assert (got.status, got.body, got.values(b"link")) == (200, b"ok", [])

    run(work())


def test_an_ordinary_client_library_gets_streams_and_compressed_bodies() -> None:
    async def answer(call: Call) -> None:
        if b"stream" in call.body:
            await streams(5)(call)
        else:
            await call.send(whole(gzip.compress(b'{"a": 1}'), fields=b"Content-Encoding: gzip\r\n"))

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.port}/v1/completions"
            async with session.post(url, json={"prompt": "a"}) as response:
                assert await response.json(content_type=None) == {"a": 1}
            async with session.post(url, json={"prompt": "a", "stream": True}) as response:
                events = [line async for line in response.content if line.strip()]
            assert len(events) == 6 and events[-1] == b"data: [DONE]\n"

    run(work())


def test_a_token_is_passed_on_when_it_comes() -> None:
    async def answer(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for i in range(5):
            await call.send(chunk(b"data: {%d}\n\n" % i))
            go.clear()
            await go.wait()  # until the client has it
        await call.send(LAST_CHUNK)

    async def work() -> None:
        async with scripted(answer) as worker, routed(worker) as server:
            client = await RawClient.to(server)
            await client.send(streamed())
            for i in range(5):
                await client.reader.readuntil(b"{%d}" % i)
                go.set()
            assert await client.reader.readuntil(LAST_CHUNK)

    go = asyncio.Event()
    run(work())
