"""The engine environment serves over HTTP: `vllm serve` gives every request exactly the tokens that it asks for."""

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

REQUESTS = 40
READY_WITHIN_S = 240


@pytest.fixture(scope="module")
def server(engine_python: Path, tiny_model: Path) -> Iterator[str]:
    """Base address of a served tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    flags = ["--max-model-len=2048", "--dtype=bfloat16", "--enforce-eager", "--no-enable-prefix-caching"]
    command = [
        engine_python.with_name("vllm"),
        "serve",
        tiny_model,
        f"--port={port}",
        "--served-model-name=tiny",
        *flags,
    ]
    offline = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tiny_model / "serve.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | offline)
    try:
        wait_until_ready(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    pytest.fail(f"vllm serve did not come up: {log.read_text()[-4000:]}")


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


def metric(address: str, name: str) -> float:
    """Sum of a counter over its labels."""
    text = requests.get(f"{address}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf"^vllm:{name}\{{.*\}} (\S+)$", text, re.MULTILINE))


def test_every_request_gets_the_tokens_it_asks_for(server: str) -> None:
    rng = np.random.default_rng(5)
    prompt = rng.integers(1, 300, REQUESTS).tolist()
    output = rng.integers(1, 120, REQUESTS).tolist()
    with ThreadPoolExecutor(REQUESTS) as clients:
        answers = list(clients.map(lambda lengths: complete(server, *lengths), zip(prompt, output, strict=True)))
    assert [answer[:2] for answer in answers] == list(zip(prompt, output, strict=True))
    assert all(1 <= pieces <= tokens for (_, _, pieces), tokens in zip(answers, output, strict=True))
    assert metric(server, "prompt_tokens_total") == sum(prompt)
    assert metric(server, "generation_tokens_total") == sum(output)
    assert metric(server, "request_success_total") == REQUESTS
