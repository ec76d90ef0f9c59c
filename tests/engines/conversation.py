"""Requests with the one answer that a model at temperature 0 has, and what came of each."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

SENTENCE = "a request has a prompt and an output, both counted in tokens. "


@dataclass(frozen=True)
class Question:
    """chat: to /v1/chat/completions, else to /v1/completions, there perhaps with a prompt of token ids."""

    chat: bool
    prompt: str | list[int]
    output_tokens: int
    stream: bool
    with_usage: bool  # of a stream: plain answers always have it

    @property
    def path(self) -> str:
        return "/v1/chat/completions" if self.chat else "/v1/completions"

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": "tiny",
            "max_tokens": self.output_tokens,
            "ignore_eos": True,
            "temperature": 0,
        }
        if self.chat:
            body["messages"] = [{"role": "user", "content": self.prompt}]
        else:
            body["prompt"] = self.prompt
        if self.stream:
            body["stream"] = True
            if self.with_usage:
                body["stream_options"] = {"include_usage": True}
        return body


@dataclass(frozen=True)
class Answer:
    """whole: ended as its protocol says. usage: prompt and output tokens, where they were told."""

    status: int
    text: str
    whole: bool
    usage: tuple[int, int] | None


def questions(count: int, seed: int) -> list[Question]:
    """Of every kind, in a random order: chat and completions, streamed and plain, usage on and off, ids and text."""
    rng = np.random.default_rng(seed)
    asked = []
    for _ in range(count):
        start, length = int(rng.integers(len(SENTENCE))), int(rng.integers(1, 300))
        text = (SENTENCE * 8)[start : start + length]
        chat = bool(rng.random() < 0.5)
        ids = not chat and rng.random() < 0.3
        prompt: str | list[int] = rng.integers(2, 512, length).tolist() if ids else text
        asked.append(
            Question(chat, prompt, int(rng.integers(2, 16)), bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        )
    return asked


async def ask_all(
    address: str, asked: Sequence[Question], at_once: int, session: str = "", seen: Callable[[int], None] | None = None
) -> list[Answer]:
    """All answers, at most so many at once. session: each is told apart by X-Session-Id `session-i`."""
    left = iter(enumerate(asked))
    answers: list[Answer | None] = [None] * len(asked)

    async def client(http: aiohttp.ClientSession) -> None:
        for i, question in left:
            headers = {"X-Session-Id": f"{session}-{i}"} if session else {}
            answers[i] = await _ask(http, address + question.path, question, headers)
            if seen is not None:
                seen(sum(answer is not None for answer in answers))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as http:
        await asyncio.gather(*(client(http) for _ in range(at_once)))
    return [answer for answer in answers if answer is not None]


async def _ask(http: aiohttp.ClientSession, url: str, question: Question, headers: dict[str, str]) -> Answer:
    try:
        async with http.post(url, json=question.body, headers=headers) as response:
            if question.stream and response.status == 200:
                return await _streamed(response)
            body = await response.json()
    except (aiohttp.ClientError, ConnectionError):
        return Answer(0, "", False, None)
    if response.status != 200:
        return Answer(response.status, str(body), True, None)
    usage = body["usage"]
    return Answer(200, _text(body["choices"]), True, (usage["prompt_tokens"], usage["completion_tokens"]))


async def _streamed(response: aiohttp.ClientResponse) -> Answer:
    """What was said before [DONE], or before the connection broke."""
    text, usage, done = "", None, False
    try:
        async for line in response.content:
            data = line.removeprefix(b"data: ").strip()
            if not data or done:
                continue
            if data == b"[DONE]":
                done = True
                continue
            event = json.loads(data)
            text += _text(event.get("choices", ()))
            told = event.get("usage")
            usage = (told["prompt_tokens"], told["completion_tokens"]) if told else usage
    except (aiohttp.ClientError, ConnectionError):
        return Answer(200, text, False, usage)
    return Answer(200, text, done, usage)


def _text(choices: Sequence[dict[str, Any]]) -> str:
    said = (
        choice.get("text") or (choice.get("delta") or choice.get("message") or {}).get("content") for choice in choices
    )
    return "".join(piece or "" for piece in said)
