"""The instruments of the router benchmarks: what the mock workers do, and how the load generator reads an answer."""

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from router.programs import compiler, free_ports, load, mock_workers, options, start_load, stats, wait_for
from router.separate import separate_workers

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")

EVENT = 'data: {"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
DONE = "data: [DONE]\n\n"
ERROR = 'data: {"error":{"message":"worker is gone"}}\n\n'
STREAM_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ENDS = ("complete", "short_clean", "error_then_done", "error_event", "cut", "no_answer", "timed_out", "other_status")


def chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def ask(url: str, path: str, **fields: Any) -> bytes:
    request = urllib.request.Request(url + path, json.dumps(fields).encode())
    with urllib.request.urlopen(request, timeout=5) as answer:
        body: bytes = answer.read()
        return body


@contextmanager
def server_that_says(text: str, *, hold: bool = False) -> Iterator[int]:
    """A port whose server reads one request per connection, sends `text` and closes (or, to hold, does not close)."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(text.encode())
            held.append(connection)
            if not hold:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (STREAM_HEAD + chunk(EVENT) * 3 + chunk(DONE) + "0\r\n\r\n", "complete"),
        (STREAM_HEAD + chunk(EVENT * 3 + DONE) + "0\r\n\r\n", "complete"),
        (STREAM_HEAD + chunk(EVENT[:40]) + chunk(EVENT[40:] + EVENT * 2 + DONE) + "0\r\n\r\n", "complete"),
        (STREAM_HEAD + chunk(EVENT) * 2 + chunk(DONE) + "0\r\n\r\n", "short_clean"),
        (STREAM_HEAD + chunk(EVENT) * 3 + "0\r\n\r\n", "short_clean"),
        (STREAM_HEAD + chunk(EVENT) + chunk(ERROR) + chunk(DONE) + "0\r\n\r\n", "error_then_done"),
        (STREAM_HEAD + chunk(EVENT) + chunk(ERROR) + "0\r\n\r\n", "error_event"),
        (STREAM_HEAD + chunk(EVENT) + chunk(ERROR), "error_event"),
        (STREAM_HEAD + chunk(EVENT) * 2, "cut"),
        (STREAM_HEAD + chunk(EVENT) + chunk(EVENT)[:-30], "cut"),
        (STREAM_HEAD.replace("transfer-encoding: chunked\r\n", "") + EVENT * 2, "short_clean"),
        (STREAM_HEAD.replace("transfer-encoding: chunked\r\n", "") + EVENT * 3 + DONE, "complete"),
        ("", "no_answer"),
        ("HTTP/1.1 2", "no_answer"),
        ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}", "other_status"),
    ],
)
def test_the_load_generator_tells_how_a_stream_ended(answer: str, outcome: str) -> None:
    with server_that_says(answer) as port:
        done = load(port, requests=1, seconds=5, stream=True, max_tokens=3)
    assert {name: done[name] for name in ENDS if done[name]} == {outcome: 1}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "complete"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}", "cut"),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "other_status"),
    ],
)
def test_the_load_generator_tells_how_a_plain_answer_ended(answer: str, outcome: str) -> None:
    with server_that_says(answer) as port:
        done = load(port, requests=1, seconds=5)
    assert {name: done[name] for name in ENDS if done[name]} == {outcome: 1}


def test_clients_give_up_hang_up_or_are_counted_as_stuck() -> None:
    with server_that_says(STREAM_HEAD + chunk(EVENT) * 2, hold=True) as port:
        late = load(port, requests=1, seconds=5, stream=True, max_tokens=3, timeout_s=0.2)
        left = load(port, requests=1, seconds=5, stream=True, max_tokens=3, abandon_after=2)
        open_end = load(port, requests=1, seconds=0.1, stream=True, max_tokens=3, drain_s=0.2)
    assert (late["timed_out"], left["abandoned"], open_end["unfinished"]) == (1, 1, 1)
    assert 0.2 <= late["longest_s"] < 2


def test_nobody_listens_is_no_answer() -> None:
    assert load(free_ports(1), requests=3, seconds=5)["no_answer"] == 3


def test_every_request_of_every_loop_is_answered_and_counted(tmp_path: Path) -> None:
    replay = tmp_path / "replay.csv"
    replay.write_text("".join(f"{i / 1000},{100 * i},{1 + i % 7}\n" for i in range(100)))
    with mock_workers(2) as urls:
        port = port_of(urls[0])
        closed = load(port, connections=4, requests=200, prompt_bytes=5000)
        poisson = load(port, rate=2000, seconds=0.2, stream=True, max_tokens=5, completions=True)
        replayed = load(port, replay=replay, stream=True)
        counters = [stats(url) for url in urls]
    for done in (closed, poisson, replayed):
        assert done["complete"] == done["sent"] == done["e2e_ms"]["count"]
    assert (closed["sent"], closed["tokens"]) == (200, 3200)
    assert 250 < poisson["sent"] < 550
    assert replayed["tokens"] == sum(1 + i % 7 for i in range(100))
    assert counters[0]["served"] == 200 + poisson["sent"] + 100
    assert counters[1]["started"] == 0


def test_answers_tell_the_tokens_of_the_prompt_and_of_the_answer() -> None:
    with mock_workers(1, bytes_per_token=5) as urls:
        message = {"role": "user", "content": 'a "quoted" prompt ' * 10}
        plain = json.loads(ask(urls[0], "/v1/chat/completions", messages=[message], max_tokens=7, stream=False))
        stream = ask(
            urls[0],
            "/v1/completions",
            stream=True,
            stream_options={"include_usage": True},
            prompt="x" * 50,
            max_tokens=3,
        )
    assert plain["usage"] == {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}  # a quote has two bytes
    events = [line.removeprefix("data: ") for line in stream.decode().split("\n\n") if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    assert [bool(json.loads(event)["choices"]) for event in events[:-1]] == [True] * 3 + [False]


def test_a_worker_runs_as_many_as_it_has_slots_in_order_of_arrival() -> None:
    with mock_workers(1, slots=2, mode="steps", step_us=10_000) as urls:
        done = load(port_of(urls[0]), connections=6, requests=6, stream=True, max_tokens=10)
        counters = stats(urls[0])
    assert done["complete"] == 6
    assert counters["peak"] == 6
    assert 30 <= counters["steps"] <= 35  # three pairs, one after the other; the second of a pair joins a step later
    assert done["ttft_ms"]["max"] >= 200


def test_in_lockstep_all_wait_for_the_fullest() -> None:
    """One request of 100 tokens at one worker of four: three quarters idle; its steps take 5 ms + 0.1 ms per token."""
    with mock_workers(4, mode="lockstep", step_us=5000, kv_token_us=100) as urls:
        load(port_of(urls[0]), requests=1, prompt_bytes=400, max_tokens=5)
        alone = stats(urls[3])
        load(port_of(urls[1]), requests=1, prompt_bytes=400, max_tokens=5)
        both = stats(urls[0])
    assert alone["steps"] == 5
    assert alone["idle_share"] == pytest.approx(0.75)
    assert alone["imbalance_tokens"] == pytest.approx(3 * 102)
    assert alone["nominal_s"] == pytest.approx(5 * 5e-3 + (100 + 101 + 102 + 103 + 104) * 1e-4)
    assert both["steps"] == 10
    assert both["idle_share"] == pytest.approx(0.75)


def test_two_equal_loads_in_lockstep_share_their_steps() -> None:
    with mock_workers(2, mode="lockstep", step_us=20_000) as urls:
        loads = [start_load(port_of(url), requests=1, max_tokens=20, prompt_bytes=400) for url in urls]
        assert all(process.wait(10) == 0 for process in loads)
        counters = stats(urls[0])
        for process in loads:
            process.communicate()
    assert 20 <= counters["steps"] < 40
    assert counters["idle_share"] < 0.5


def test_workers_misbehave_as_ordered() -> None:
    with separate_workers(2, mode="steps", step_us=1000) as fleet:
        port = port_of(fleet.urls[0])
        fleet.order(0, "503")
        assert load(port, requests=3, seconds=5)["by_status"] == {"503": 3}
        fleet.order(0, "hang")
        assert load(port, requests=1, seconds=5, timeout_s=0.2)["timed_out"] == 1
        fleet.order(0, "slow/300")
        assert load(port, requests=1, stream=True)["ttft_ms"]["p50"] >= 300
        fleet.order(0, "healthy")
        assert load(port, requests=3)["complete"] == 3
        counters = fleet.stats()[0]
        assert (counters["refused"], counters["aborted"], counters["served"]) == (3, 1, 4)
        fleet.kill(0)
        assert load(port, requests=1)["no_answer"] == 1
        fleet.restart(0)
        assert load(port, requests=1)["complete"] == 1


def test_a_client_that_hangs_up_stops_its_generation() -> None:
    with mock_workers(1, mode="steps", step_us=2000) as urls:
        load(port_of(urls[0]), connections=5, requests=5, stream=True, max_tokens=5000, abandon_after=2)
        wait_for(lambda: stats(urls[0])["aborted"] == 5, 2, "the worker")
        assert stats(urls[0])["running"] == 0


def test_options_are_written_as_flags() -> None:
    assert options({"max_tokens": 3, "stream": True, "rate": None, "completions": False}) == [
        "--max-tokens",
        "3",
        "--stream",
    ]
