"""Tokens and usage of a stream, however it is cut: which events hold a token, and whose counts are believed."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadowprice.router.openai.body import usage_of_whole
from shadowprice.router.openai.reading import Reading
from tests.router.live import ask, post, routed, run, until
from tests.router.scripted_worker import DONE, STREAM_HEAD, chunk, resets_after, scripted

ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}}
SAYS = 'it says "usage": {"prompt_tokens": 9} and data: { and [DONE]'


def chat(tokens: int, *, compact: bool, usage: bool) -> bytes:
    """A chat's event stream as vLLM writes it: who speaks, the tokens, the usage, the end."""
    events: list[dict[str, Any]] = [{"choices": [ROLE]}]
    events += [{"choices": [{"index": 0, "delta": {"content": SAYS}}], "usage": None} for _ in range(tokens)]
    if usage:
        events.append({"choices": [], "usage": {"prompt_tokens": 31, "total_tokens": 99, "completion_tokens": 68}})
    separators = (",", ":") if compact else (", ", ": ")
    return b"".join(f"data: {json.dumps(event, separators=separators)}\n\n".encode() for event in events) + DONE


def typed(kind: str, **fields: Any) -> bytes:
    """An event as the Responses API and Anthropic's have it."""
    return f"event: {kind}\ndata: {json.dumps({**fields, 'type': kind})}\n\n".encode()


def delta(index: int = 0, **fields: Any) -> bytes:
    """A chat's event, which another choice's follows."""
    choice = {"index": index, "delta": fields, "finish_reason": None}
    return f"data: {json.dumps({'choices': [choice]}, separators=(',', ':'))}\n\n".encode()


class Counted(NamedTuple):
    generated: int
    done: bool
    usage: tuple[int, int] | None


def counted(text: bytes, cuts: list[int], *, framed: bool) -> Counted:
    """What is known after a stream that comes in pieces of these sizes."""
    reading = Reading(events=True, framed=framed)
    generated = 0
    for size in [*cuts, len(text)]:
        piece, text = text[:size], text[size:]
        if piece:
            assert not reading.done or piece in b"data: [DONE]\n\n"
            generated += reading.piece(piece, generated)
    return Counted(generated, reading.done, reading.usage)


CUTS = st.lists(st.integers(1, 400), max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 8), st.booleans(), st.booleans(), CUTS)
@example(0, True, True, [1, 1, 92])  # between the choices and the usage of the last event
def test_tokens_are_counted_whatever_the_cuts(tokens: int, compact: bool, usage: bool, cuts: list[int]) -> None:
    exchange = counted(chat(tokens, compact=compact, usage=usage), cuts, framed=False)
    assert exchange.generated == tokens
    assert exchange.done
    assert exchange.usage == ((31, 68) if usage else None)


WHO = {"role": "assistant", "content": ""}
NULLS = {"reasoning_content": None, "tool_calls": None}
CALL = [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}]
RESPONSE = [
    *(typed(f"response.{kind}", response={"usage": None, "tools": []}) for kind in ("created", "in_progress")),
    typed("response.output_item.added", item={"type": "message", "role": "assistant", "content": []}),
    typed("response.content_part.added", part={"text": ""}),
    *(typed("response.output_text.delta", delta=" a.delta\ndata: {") for _ in range(3)),
    typed("response.output_text.done", text=" a.delta\ndata: {"),
    typed("response.output_item.done", item={"type": "message", "role": "assistant", "content": []}),
    typed("response.function_call_arguments.delta", delta="{"),
]
STREAMS = {
    "roles of choices that begin later": (6, [event for i in range(3) for event in (delta(i, **WHO), *[delta(i)] * 2)]),
    "roles beside nulls": (2, [delta(**WHO, **NULLS), delta(role=None, content="a", **NULLS), delta(content="b")]),
    "only a role": (1, [delta(role="assistant"), delta(content="a")]),
    "a role that comes last": (1, [delta(content=None, role="assistant"), delta(content="a")]),
    "thoughts beside the role": (2, [delta(role="assistant", content=None, reasoning_content="a"), delta(content="b")]),
    "a call beside the role": (1, [delta(**WHO, tool_calls=CALL)]),
    "no call beside the role": (0, [delta(**WHO, tool_calls=[])]),
    "roles with every token": (3, [delta(role="assistant", content="a")] * 3),
    "talk of roles": (2, [delta(content='"delta":{"role":"assistant","content":""}'), delta(content="assistant")]),
    "responses": (4, RESPONSE),
    "responses without types of events": (10, [event.partition(b"\n")[2] for event in RESPONSE]),
    "talk of responses": (2, [delta(content="\nevent: response.created\n"), delta(content="b")]),
}


@pytest.mark.parametrize("tokens, events", STREAMS.values(), ids=STREAMS)
@settings(max_examples=60, deadline=None)
@given(st.booleans(), CUTS)
def test_events_that_hold_no_token_are_told_whatever_the_cuts(
    tokens: int, events: list[bytes], framed: bool, cuts: list[int]
) -> None:
    assert counted(b"".join(events), cuts, framed=framed).generated == tokens
    apart = [len(event) for event in events]
    assert counted(b"".join(events), apart, framed=framed).generated == tokens


@settings(max_examples=60, deadline=None)
@given(CUTS)
@example([])  # both usages in one read
def test_a_usage_of_the_output_alone_keeps_the_prompt_of_the_one_before(cuts: list[int]) -> None:
    start = typed("message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}})
    tokens = [typed("content_block_delta", delta={"text": "a"})] * 8
    end = [typed("message_delta", delta={}, usage={"output_tokens": 8}), typed("message_stop")]
    assert counted(b"".join([start, *tokens, *end]), cuts, framed=True).usage == (9, 8)


def test_a_stream_that_breaks_off_has_what_came_however_little_its_beginning_told() -> None:
    start = typed("message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}})
    token = typed("content_block_delta", delta={"text": "a"})

    async def work() -> None:
        broken = resets_after(STREAM_HEAD + chunk(start) + chunk(token) * 5)
        async with scripted(broken) as worker, routed(worker) as server:
            await ask(server, post(b'{"messages":[],"stream":true}', b"/v1/messages"))
            total = server.router.fleet.workers[0].counts
            await until(lambda: total.generated_tokens_total)
            assert (total.prompt_tokens_total, total.generated_tokens_total) == (9, 6)

    run(work())


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (b'{"text":"a","meta_info":{"id":"b","prompt_tokens":9,"completion_tokens":6}}', (9, 6)),
        (b'[{"meta_info":{"prompt_tokens":9,"completion_tokens":6}},{"meta_info":{"prompt_tokens":2}}]', (11, 6)),
        (b'{"meta_info":{"prompt_tokens":1},"usage":{"prompt_tokens": 9, "completion_tokens": 6}}', (9, 6)),
        (b'{"text":"\\"meta_info\\": {\\"prompt_tokens\\": 9}"}', None),
        (b'{"usage":{"input_tokens":9,"output_tokens":6}}', (9, 6)),
        (b'{"usage":{"prompt_tokens":9,"total_tokens":9}}', (9, 0)),
        (b'{"usage":null}', None),
    ],
)
def test_a_plain_answer_tells_its_counts_in_usage_or_as_sglang_does(
    answer: bytes, usage: tuple[int, int] | None
) -> None:
    assert usage_of_whole(answer) == usage
