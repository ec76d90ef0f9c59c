"""A chunk that comes in a read of its own passes without the parser: however a stream is cut, it says the same."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadowprice.router.http.outbox import FEW
from shadowprice.router.http.upstream import whole_chunk
from tests.router.in_memory import Bench, responses_in

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ASK = b'POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 15\r\n\r\n{"stream":true}'
TOKEN = b'data: {"choices": [{"text": "a"}]}\n\n'
LAST = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7}}\n\n'
WHO = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
THOUGHT = WHO.replace(b'""', b'null, "reasoning": "a"')
EVENTS = (
    TOKEN,
    TOKEN,
    TOKEN,
    TOKEN * 2,
    TOKEN[:20],
    TOKEN[20:],
    TOKEN[:-1],
    b"\n",
    b": ping\n\n",
    b"5\r\n",
    LAST,
    WHO,
    THOUGHT,
    WHO + TOKEN,
)
BEGUN = b'event: response.created\ndata: {"type": "response.created"}\n\n'
DELTA = b'event: response.output_text.delta\ndata: {"type": "response.output_text.delta", "delta": "a"}\n\n'
RESPONSES = (DELTA, DELTA, DELTA * 2, BEGUN, BEGUN + DELTA, DELTA[:34], DELTA[34:], DELTA[:40], DELTA[40:], TOKEN, LAST)
WAYS = (b"%x\r\n", b"%x\r\n", b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n")
AT = len(HEAD) + len(b"%x\r\n\r\n" % len(TOKEN)) + len(TOKEN)  # where what follows the first token begins
INNER = b"5\r\nhello\r\n"  # no chunk, in these places
ENDS = (b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00\r\n\r\n", b"", b"5\r\n", b"0x5\r\nhello\r\n", b"2\r\nhel\r\n")

OTHERS = (
    b"",
    b"\r\n\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello",
    b"5\r\nhell\r\n",
    b"05\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5;a\r\nhello\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
)


@pytest.fixture(scope="module", params=[0, FEW], ids=["together", "at once"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(few=request.param)


def said(bench: Bench, reply: bytes, cuts: list[int]) -> tuple[bytes | None, int]:
    """The body that reached the client (None: it was cut) and the tokens counted, when the reply is read so."""
    bench.reply, bench.cuts = reply, sorted(cuts)
    before = bench.router.statistics.tokens_total
    client, transport = bench.client()
    client.data_received(ASK)
    bench.settle(client)
    tokens = bench.router.statistics.tokens_total - before
    written = bytes(transport.written)
    client.connection_lost(None)
    if transport.reset:
        return None, tokens
    ((status, _, body),) = responses_in(written, [b"POST"], closed=False)
    assert status == 200
    return body, tokens


CUT = (st.sampled_from(ENDS), st.lists(st.integers(0, 9), max_size=9), st.lists(st.integers(1, 400), max_size=3))


def chunks_of(events: Sequence[bytes]) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    return st.lists(st.tuples(st.sampled_from(events), st.sampled_from(WAYS)), max_size=8)


@settings(max_examples=500, deadline=None)
@given(chunks_of(EVENTS), *CUT)
@example([(INNER[3:] + b"x" * 14, b"%x\r\n")], ENDS[0], [], [AT + 1, AT + 1 + len(INNER)])  # in the size 15
@example([(INNER + b"x" * 11, b"%x\r\n")], ENDS[0], [], [AT + 4, AT + 4 + len(INNER)])  # behind it
@example([(TOKEN[:20], WAYS[0])] * 3 + [(WHO, WAYS[0])], ENDS[5], [4], [])  # no token, and an error behind it
def test_a_stream_says_the_same_however_it_is_cut(
    bench: Bench, chunks: list[tuple[bytes, bytes]], end: bytes, joined: list[int], cuts: list[int]
) -> None:
    says_the_same(bench, TOKEN, chunks, end, joined, cuts)


@settings(max_examples=300, deadline=None)
@given(chunks_of(RESPONSES), *CUT)
def test_a_response_says_the_same_however_it_is_cut(
    bench: Bench, chunks: list[tuple[bytes, bytes]], end: bytes, joined: list[int], cuts: list[int]
) -> None:
    says_the_same(bench, BEGUN, chunks, end, joined, cuts)


def says_the_same(
    bench: Bench, begun: bytes, chunks: list[tuple[bytes, bytes]], end: bytes, joined: list[int], cuts: list[int]
) -> None:
    """A stream's chunks, each in a read of its own but for those joined or cut, and the same byte by byte."""
    framed = [way % len(event) + event + b"\r\n" for event, way in chunks]
    first = HEAD + b"%x\r\n%b\r\n" % (len(begun), begun)  # after it no other worker is asked
    reply = first + b"".join(framed) + end
    between = list(accumulate([len(first), *map(len, framed)]))
    apart = [at for place, at in enumerate(between) if not place or place not in joined]
    body, tokens = said(bench, reply, apart + cuts)
    expected_body, expected_tokens = said(bench, reply, list(range(1, len(reply))))
    assert body == expected_body
    assert tokens == expected_tokens


@pytest.mark.parametrize(
    ("begun", "events", "tokens"),
    [
        (TOKEN, [TOKEN, WHO, TOKEN, THOUGHT, WHO + TOKEN], 5),
        (WHO, [TOKEN, TOKEN, WHO, TOKEN], 3),
        (BEGUN, [BEGUN, DELTA, DELTA, BEGUN, DELTA * 2, BEGUN + DELTA], 5),
    ],
)
def test_events_without_a_token_are_told_when_they_come_as_one_chunk(
    bench: Bench, begun: bytes, events: list[bytes], tokens: int
) -> None:
    first, *rest = [b"%x\r\n%b\r\n" % (len(event), event) for event in (begun, *events)]
    apart = list(accumulate([len(HEAD + first), *map(len, rest)]))
    assert said(bench, HEAD + first + b"".join(rest) + ENDS[0], apart) == (begun + b"".join(events), tokens)


@pytest.mark.parametrize("data", OTHERS)
def test_what_is_not_one_plain_chunk_is_the_parsers(data: bytes) -> None:
    assert whole_chunk(data) == 0


def test_one_plain_chunk_is_known() -> None:
    assert whole_chunk(b"5\r\nhello\r\n") == 3
    assert whole_chunk(b"C\r\nhello\r\nhello\r\n") == whole_chunk(b"c\r\n0\r\nhello\r\n00\r\n") == 3
