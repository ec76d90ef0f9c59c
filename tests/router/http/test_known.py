"""Heads that are known: what passes without a parser is what the parser would have made of it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadowprice.router.http.known import LARGEST, Known, learned
from tests.router.in_memory import Bench, requests_in, responses_in

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\nX-Id: 7\r\n\r\n"


def known(head: bytes = HEAD, body: bytes = b"hello") -> Known[str]:
    found = learned(head + body, body, "it")
    assert found is not None
    return found


@pytest.mark.parametrize("body", [b"", b"x", b"world", b"a" * 10, b"\r\n\r\n", b"a" * 123_456])
def test_a_head_is_known_again_whatever_the_length(body: bytes) -> None:
    data = HEAD.replace(b": 5", b": %d" % len(body)) + body
    assert known().body_at(data) == len(data) - len(body)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"hell",  # not all of it
        HEAD + b"hello!",  # more than it
        HEAD.replace(b": 5", b": ") + b"hello",
        HEAD.replace(b": 5", b": 5 ") + b"hello",
        HEAD.replace(b": 5", b": +5") + b"hello",
        HEAD.replace(b": 5", b": 5\r\nContent-Length: 5") + b"hello",
        HEAD.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        HEAD.replace(b"X-Id: 7", b"X-Id: 8") + b"hello",
        HEAD.replace(b"POST", b"post") + b"hello",
        HEAD.replace(b": 5", b": 0000000005") + b"hello",
        HEAD[:-2],
        b"\r\n" + HEAD + b"hello",
        b"",
    ],
)
def test_another_head_or_length_is_the_parser_s_to_read(data: bytes) -> None:
    assert known().body_at(data) == 0


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"hello", b""),
        (HEAD + b"hello", None),
        (HEAD + b"hello", b"other"),
        (HEAD + b"hello", b"llo"),  # what came before it was no head
        (HEAD.replace(b"\r\nX-Id: 7\r\n\r\n", b"\r\n\r\nX: 1\r\n\r\n") + b"hello", b"X: 1\r\n\r\nhello"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (HEAD.replace(b"X-Id: 7", b"X: " + b"y" * LARGEST) + b"hello", b"hello"),
    ],
)
def test_what_is_not_all_head_before_the_body_is_not_learned(data: bytes, body: bytes | None) -> None:
    assert learned(data, body, "it") is None


FIELDS = st.sampled_from(
    [
        b"X-Id: 7",
        b"Connection: keep-alive",
        b"Connection: x-id",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Max-Forwards: 3",
        b"Upgrade: h2c\r\nConnection: upgrade",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 4",
        b"x-data-parallel-rank: 9",
        b"Host: other",
        b"Date: now",
    ]
)
MESSAGES = st.tuples(st.lists(FIELDS, max_size=3), st.binary(max_size=40))


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=3), st.integers(1, 3), st.sampled_from([b"1.1", b"1.0"]))
@example([([b"Connection: x-id", b"X-Id: 7"], b"one"), ([b"Connection: x-id", b"X-Id: 7"], b"three")], 2, b"1.1")
def test_requests_that_come_whole_are_those_that_come_in_pieces(
    messages: list[tuple[list[bytes], bytes]], times: int, version: bytes
) -> None:
    sent = []
    for fields, body in messages * times:
        lines = b"".join(line + b"\r\n" for line in fields)
        sent.append(
            b"POST /v1/x HTTP/%b\r\nHost: r\r\nContent-Length: %d\r\n%b\r\n%b" % (version, len(body), lines, body)
        )
    seen = []
    for step in (1 << 20, 11):
        bench = Bench()
        client, transport = bench.client()
        for data in sent:
            for start in range(0, len(data), step):
                if not client.closing:
                    client.data_received(data[start : start + step])
            bench.turn()
        bench.settle(client)
        answered = bytes(transport.written).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        seen.append((bench.asked, bench.headers, answered))
    assert seen[0] == seen[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=3), st.integers(1, 3), st.sampled_from([200, 204, 404, 500, 503]))
@example([([b"Connection: x-id", b"X-Id: 7"], b"one"), ([b"Connection: x-id", b"X-Id: 7"], b"three")], 2, 200)
def test_answers_that_come_whole_are_those_that_come_in_pieces(
    messages: list[tuple[list[bytes], bytes]], times: int, status: int
) -> None:
    ask = b"POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{}"
    seen = []
    for step in (1 << 20, 11):
        bench = Bench(max_retries=0)
        client, transport = bench.client()
        for fields, body in messages * times:
            lines = b"".join(line + b"\r\n" for line in fields)
            bench.reply = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), lines, body)
            bench.cuts = range(step, 1 << 20, step)
            if client.closing:
                client, transport = bench.client()
            client.data_received(ask)
            bench.settle(client)
        seen.append((len(bench.asked), bytes(transport.written), bench.router.statistics.responses))
    assert seen[0] == seen[1]


def test_known_heads_are_used() -> None:
    """Else the tests above compare the parser with itself."""
    bench = Bench()
    client, transport = bench.client()
    ask = b"POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{}"
    bench.cuts = ()
    for _ in range(3):
        client.data_received(ask)
        bench.settle(client)
    parser, upstream = client.incoming.parser, bench.router.fleet.workers[0].pool.idle[0]
    client.incoming.parser = upstream.parser = None  # type: ignore[assignment]
    client.data_received(ask.replace(b": 2\r\n\r\n{}", b": 15\r\n\r\n" + b'{"prompt": "a"}'))
    bench.settle(client)
    assert parser is not None and [body for *_, body in bench.asked] == [b"{}"] * 3 + [b'{"prompt": "a"}']
    assert [status for status, *_ in responses_in(bytes(transport.written), [b"POST"] * 4, closed=False)] == [200] * 4
    assert requests_in(ask)[1] is None
