"""The router before two real vLLM servers: every answer is the one that the server itself gives."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from conversation import Answer, Question, ask_all, questions
from router_process import RouterProcess
from vllm_server import VllmServer

from shadowprice.router.openai.body import key_of
from shadowprice.routing.policies import POLICIES
from shadowprice.workload import read_trace

ASKED = questions(500, seed=3)
AT_ONCE = 24
SLOTS = 8  # at each worker: fewer than are asked at once, so that the router's queue is at work
RECOVERY_S = 5.0


@pytest.fixture(scope="module")
def servers(engine_python: Path, tiny_model: Path) -> Iterator[list[VllmServer]]:
    """Two servers. float32: in bfloat16 the batch that a request is in may change its text."""
    flags = ("--max-model-len=1024", "--dtype=float32", "--max-num-seqs=16", "--disable-uvicorn-access-log")
    one_core = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    both = [VllmServer(engine_python, tiny_model, *flags, **one_core) for _ in range(2)]
    try:
        for server in both:
            server.start()
        for server in both:
            server.wait_until_ready()
        yield both
    finally:
        for server in both:
            server.stop()


@pytest.fixture(scope="module")
def direct(servers: list[VllmServer]) -> list[Answer]:
    """What the servers themselves answer; both the same, whatever runs beside."""
    first = asyncio.run(ask_all(servers[0].address, ASKED, AT_ONCE))
    second = asyncio.run(ask_all(servers[1].address, ASKED, AT_ONCE // 4))
    assert all(answer.status == 200 and answer.whole for answer in first)
    assert first == second
    return first


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("record") / "live.jsonl"


@pytest.fixture(scope="module")
def router(servers: list[VllmServer], record: Path) -> Iterator[RouterProcess]:
    urls = [f"--worker-urls={server.address}" for server in servers]
    limits = [
        f"--max-num-seqs={SLOTS}",
        "--health-check-timeout-secs=10",
    ]  # two engines on two cores are slow, not dead
    process = RouterProcess(record.parent, *urls, *limits, f"--record={record}", "--no-lockstep")
    try:
        process.wait_until_up(2)
        yield process
        assert process.stop() == 0
    finally:
        process.process.kill()


def rows_of(record: Path, session: str) -> list[dict[str, Any]]:
    """Recorded rows of the requests of a session, in the order in which they were asked; written once a second."""
    names = {key_of(f"{session}-{i}".encode()): i for i in range(len(ASKED))}
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = [json.loads(line) for line in record.read_bytes().split(b"\n")[:-1]]
        mine = {names[row["session"]]: row for row in found if row["session"] in names}
        if len(mine) == len(ASKED):
            return [mine[i] for i in range(len(ASKED))]
        time.sleep(0.2)
    pytest.fail(f"{len(mine)} of {len(ASKED)} requests of {session} are in the record")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_gives_the_answers_of_the_servers(
    policy: str, router: RouterProcess, servers: list[VllmServer], direct: list[Answer], record: Path
) -> None:
    """And each request is computed once, and counted as the server counts it."""
    router.use(policy)
    before = sum(server.metric("generation_tokens_total") for server in servers)
    shares = [router.worker(server.address)["requests_total"] for server in servers]

    answers = asyncio.run(ask_all(router.address, ASKED, AT_ONCE, session=policy))

    assert answers == direct
    generated = sum(server.metric("generation_tokens_total") for server in servers) - before
    assert generated == sum(question.output_tokens for question in ASKED)
    shares = [router.worker(server.address)["requests_total"] - n for server, n in zip(servers, shares, strict=True)]
    # more are asked at once than one worker may have; how many more each then takes is a matter of its speed
    assert sum(shares) == len(ASKED) and min(shares) >= SLOTS
    rows = rows_of(record, policy)
    assert all(row["status"] == 200 and row["stop"] == "finished" for row in rows)
    for question, answer, row in zip(ASKED, direct, rows, strict=True):
        if answer.usage is not None:
            assert (row["prompt_tokens"], row["output_tokens"]) == answer.usage
        else:  # vLLM puts several tokens into one event when its front end lags
            assert 1 <= row["output_tokens"] <= question.output_tokens
            assert isinstance(question.prompt, str) or row["prompt_tokens"] == len(question.prompt)
    print_exactness(policy, rows, direct)


def print_exactness(policy: str, rows: list[dict[str, Any]], direct: list[Answer]) -> None:
    """How far counts of streams without usage are off (shown by pytest -s)."""
    unsaid = [(q, row) for q, answer, row in zip(ASKED, direct, rows, strict=True) if answer.usage is None]
    counted = sum(row["output_tokens"] for _, row in unsaid)
    exact = sum(row["output_tokens"] == q.output_tokens for q, row in unsaid)
    told = sum(q.output_tokens for q, _ in unsaid)
    print(f"{policy}: {len(unsaid)} streams without usage, {exact} counted exactly, {counted} of {told} tokens")


@pytest.mark.parametrize("path", ["/v1/models", "/tokenize", "/v1/embeddings", "/v1/responses", "/version", "/nothing"])
def test_other_paths_pass_unchanged(path: str, router: RouterProcess, servers: list[VllmServer]) -> None:
    """With status and body of the server; what is made anew for every answer is left out."""
    bodies: dict[str, dict[str, Any]] = {
        "/tokenize": {"model": "tiny", "prompt": "a request has a prompt"},
        "/v1/embeddings": {"model": "tiny", "input": "a request"},  # refused: the model generates
        "/v1/responses": {"model": "tiny", "input": "a request", "max_output_tokens": 9, "temperature": 0},
    }

    def ask(address: str) -> tuple[int, str | None, Any]:
        method = "POST" if path in bodies else "GET"
        answer = requests.request(method, address + path, json=bodies.get(path), timeout=60)
        return answer.status_code, answer.headers.get("content-type"), without_what_is_new(answer.json())

    assert ask(router.address) == ask(servers[0].address)


def without_what_is_new(value: Any) -> Any:
    """The value without ids and times."""
    if isinstance(value, dict):
        return {k: without_what_is_new(v) for k, v in value.items() if k not in ("id", "created", "created_at")}
    return [without_what_is_new(item) for item in value] if isinstance(value, list) else value


def test_streamed_response_is_whole_and_counted(router: RouterProcess, record: Path) -> None:
    body = {"model": "tiny", "input": "a request has", "max_output_tokens": 9, "temperature": 0, "stream": True}
    asked = requests.post(f"{router.address}/v1/responses", json=body, headers={"X-Session-Id": "r"}, timeout=60)
    events = [json.loads(line[6:]) for line in asked.text.splitlines() if line.startswith("data: {")]
    usage = events[-1]["response"]["usage"]
    assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    time.sleep(1.5)
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    row = next(row for row in rows if row["session"] == key_of(b"r"))
    assert (row["prompt_tokens"], row["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])


def test_errors_of_the_server_reach_the_client(router: RouterProcess, servers: list[VllmServer]) -> None:
    """And are no failures of the worker."""
    bad = {"model": "tiny", "prompt": "x", "max_tokens": -1}
    assert requests.post(f"{router.address}/v1/completions", json=bad, timeout=30).status_code == 400
    missing = {"model": "another", "prompt": "x", "max_tokens": 1}
    answers = [
        requests.post(f"{address}/v1/completions", json=missing, timeout=30)
        for address in (router.address, servers[0].address)
    ]
    assert answers[0].status_code == answers[1].status_code == 404
    assert answers[0].json() == answers[1].json()
    assert [worker["errors_total"] for worker in router.workers()] == [0, 0]


def test_rank_that_does_not_exist_is_refused_as_the_probe_expects(servers: list[VllmServer]) -> None:
    """A plain completion is refused with 400; a streamed one begins with 200 and tells in its first event."""
    headers = {"X-data-parallel-rank": "5"}
    body = {"model": "tiny", "prompt": "1", "max_tokens": 1}
    url = f"{servers[0].address}/v1/completions"
    refused = requests.post(url, json=body, headers=headers, timeout=30)
    assert refused.status_code == 400
    assert "data_parallel_rank 5 is out of range [0, 1)" in refused.json()["error"]["message"]
    streamed = requests.post(url, json=body | {"stream": True}, headers=headers, timeout=30)
    assert "data_parallel_rank 5 is out of range [0, 1)" in streamed.text
    known = requests.post(url, json=body, headers={"X-data-parallel-rank": "0"}, timeout=30)
    assert known.status_code == 200
    labels = requests.get(f"{servers[0].address}/metrics", timeout=30).text
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"}' in labels


def test_metrics_of_the_servers_give_memory_and_load_of_others(
    router: RouterProcess, servers: list[VllmServer]
) -> None:
    """What others ask of one server is seen, and the router's own requests go to the other."""
    text = requests.get(f"{servers[0].address}/metrics", timeout=30).text
    config = dict(
        pair.split("=", 1)
        for line in text.splitlines()
        if line.startswith("vllm:cache_config_info{")
        for pair in line[line.index("{") + 1 : line.index("}")].split(",")
    )
    capacity = int(config["num_gpu_blocks"].strip('"')) * int(config["block_size"].strip('"'))
    assert {worker["kv_capacity_tokens"] for worker in router.workers()} == {capacity}
    router.use("least_kv")
    long = {"model": "tiny", "prompt": [7] * 100, "ignore_eos": True, "temperature": 0}
    enough = threading.Event()

    def keep_asking(tokens: int) -> None:
        while not enough.is_set():
            requests.post(f"{servers[0].address}/v1/completions", json={**long, "max_tokens": tokens})

    # of different lengths: should all end at once, a report of that moment would tell of none
    others = [threading.Thread(target=keep_asking, args=(500 + 60 * k,)) for k in range(6)]
    for other in others:
        other.start()
    try:
        end = time.monotonic() + 60
        busy = router.worker(servers[0].address)
        while time.monotonic() < end and busy["waiting"] < len(others):
            time.sleep(0.1)
            busy = router.worker(servers[0].address)
        assert busy["waiting"] == len(others) and busy["kv_tokens"] >= 6 * 100
        before = [router.worker(server.address)["requests_total"] for server in servers]
        short = {"model": "tiny", "prompt": "x", "max_tokens": 2}
        for _ in range(5):
            assert requests.post(f"{router.address}/v1/completions", json=short, timeout=60).ok
        after = [router.worker(server.address)["requests_total"] for server in servers]
        assert [b - a for a, b in zip(before, after, strict=True)] == [0, 5]
    finally:
        enough.set()
        for other in others:
            other.join()
    end = time.monotonic() + 10
    while time.monotonic() < end and router.worker(servers[0].address)["waiting"]:
        time.sleep(0.1)
    assert router.worker(servers[0].address)["waiting"] == 0


def test_killed_server_loses_no_plain_request_and_cuts_streams_visibly(
    router: RouterProcess, servers: list[VllmServer], direct: list[Answer]
) -> None:
    """It comes back, and is given requests again within seconds of being healthy."""
    router.use("bf_io")
    victim = servers[1]
    killed = threading.Event()

    def kill_at_100(answered: int) -> None:
        if answered >= 100 and not killed.is_set():
            killed.set()
            threading.Thread(target=victim.kill).start()

    began = time.monotonic()
    answers = asyncio.run(ask_all(router.address, ASKED, AT_ONCE, session="kill", seen=kill_at_100))
    took = time.monotonic() - began
    assert killed.is_set()
    whole = [answer == expected for answer, expected in zip(answers, direct, strict=True)]
    cut = [question for question, ok in zip(ASKED, whole, strict=True) if not ok]
    print(f"{len(cut)} of {len(ASKED)} answers were cut, all streams; {took:.1f} s for all")
    assert all(question.stream for question in cut)
    assert len(cut) <= AT_ONCE
    for answer, expected, ok in zip(answers, direct, whole, strict=True):
        assert ok or (not answer.whole and expected.text.startswith(answer.text))
    assert router.worker(victim.address)["state"] == "ejected"

    victim.start()
    victim.wait_until_ready()
    healthy, before = time.monotonic(), router.worker(victim.address)["requests_total"]
    short = Question(False, "x", 2, False, False)
    while router.worker(victim.address)["requests_total"] == before:
        asyncio.run(ask_all(router.address, [short] * 8, 8))
        assert time.monotonic() - healthy < RECOVERY_S, router.workers()
    print(f"traffic again {time.monotonic() - healthy:.2f} s after it was healthy")
    again = asyncio.run(ask_all(router.address, ASKED[:100], AT_ONCE))
    assert again == direct[:100]
    assert router.worker(victim.address)["state"] == "up"


def test_audit_runs_on_the_record(router: RouterProcess, record: Path) -> None:
    trace = read_trace(record)
    assert len(trace) >= len(ASKED) * (len(POLICIES) + 1) - AT_ONCE
    command = [Path(sys.executable).with_name("shadowprice"), "audit", record, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr[-2000:]  # 1: it ran, and the answer is no
    assert json.loads(done.stdout)
