"""The engine environment serves over HTTP: `vllm serve` gives every request exactly the tokens that it asks for."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from vllm_server import VllmServer

REQUESTS = 40


@pytest.fixture(scope="module")
def server(engine_python: Path, tiny_model: Path) -> Iterator[VllmServer]:
    """A served tiny model."""
    flags = ("--max-model-len=2048", "--dtype=bfloat16", "--no-enable-prefix-caching")
    vllm = VllmServer(engine_python, tiny_model, *flags)
    try:
        vllm.start()
        vllm.wait_until_ready()
        yield vllm
    finally:
        vllm.stop()


def complete(address: str, prompt_tokens: int, output_tokens: int) -> tuple[int, int, int]:
    """Stream one completion. Returns the prompt and output tokens that the server counted, and the pieces streamed."""
    body = {"model": "tiny", "prompt": [7] * prompt_tokens, "max_tokens": output_tokens, "ignore_eos": True}
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    answer = requests.post(f"{address}/v1/completions", json=body | stream, stream=True, timeout=300)
    lines = [line.removeprefix(b"data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == b"[DONE]"
    pieces = [json.loads(line) for line in lines[:-1]]
    usage = pieces[-1]["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"], sum(bool(piece["choices"]) for piece in pieces)


def test_every_request_gets_the_tokens_it_asks_for(server: VllmServer) -> None:
    rng = np.random.default_rng(5)
    prompt = rng.integers(1, 300, REQUESTS).tolist()
    output = rng.integers(1, 120, REQUESTS).tolist()
    with ThreadPoolExecutor(REQUESTS) as clients:
        asked = zip(prompt, output, strict=True)
        answers = list(clients.map(lambda lengths: complete(server.address, *lengths), asked))
    assert [answer[:2] for answer in answers] == list(zip(prompt, output, strict=True))
    assert all(1 <= pieces <= tokens for (_, _, pieces), tokens in zip(answers, output, strict=True))
    assert server.metric("prompt_tokens_total") == sum(prompt)
    assert server.metric("generation_tokens_total") == sum(output)
    assert server.metric("request_success_total") == REQUESTS
