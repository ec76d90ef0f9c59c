"""Twin and simulator schedule as the real vLLM scheduler: same tokens in the same steps, same preemptions."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ask_engine import ask_engine
from engine_twin import Engine, run_engine

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling.policies import Victim, priority
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.trace import Trace

WORKLOADS = 600
MODES = [  # how the waiting are ordered and who is preempted: vLLM's fcfs, its priority, and an order plugged in
    {"ordered": False, "preempt": "last admitted"},
    {"ordered": True, "preempt": "worst key"},
    {"ordered": True, "preempt": "last admitted"},
]
Workload = dict[str, Any]


def random_workload(rng: np.random.Generator, index: int) -> Workload:
    """Small and often tight: memory from one request's worth to plenty, budgets down to one token per sequence."""
    mode = MODES[index % len(MODES)]
    n = int(rng.integers(1, 25))
    prompt = rng.integers(1, rng.choice([4, 10, 120]) + 1, n)
    output = rng.integers(1, rng.choice([2, 20, 50, 50]) + 1, n)
    block_size = int(rng.choice([1, 2, 4, 16]))
    largest = int((-(-(prompt + output - 1) // block_size)).max())
    kv_blocks = int(largest * rng.choice([1.0, 1.3, 1.6, 2.0, 3.0, 8.0])) + int(rng.integers(0, 3))
    max_num_seqs = int(rng.choice([1, 3, 8, 32]))
    gaps = rng.exponential(rng.choice([0.0, 0.5, 3.0, 20.0]), n) * (rng.random(n) < 0.7)
    arrival_s = np.cumsum(gaps)
    if rng.random() < 0.5:
        arrival_s = np.floor(arrival_s)  # exactly at the starts of steps
    levels = int(rng.choice([2, 100]))
    return {
        "arrival_s": arrival_s.tolist(),
        "prompt": prompt.tolist(),
        "output": output.tolist(),
        "key": rng.integers(1, levels + 1, n).tolist() if mode["ordered"] else [0] * n,
        "preempt": mode["preempt"],
        "asynchronous": index // len(MODES) % 2 == 1,
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": max_num_seqs + int(rng.choice([0, 1, 5, 50, 500])),
        "kv_blocks": kv_blocks,
        "block_size": block_size,
    }


def worker_of(workload: Workload) -> Worker:
    """The worker on which every step takes a second."""
    return Worker(
        step_time=StepTime(1.0, 0.0, 0.0, 0.0),
        max_num_seqs=workload["max_num_seqs"],
        max_num_batched_tokens=workload["max_num_batched_tokens"],
        kv_tokens=workload["kv_blocks"] * workload["block_size"],
        block_size=workload["block_size"],
        async_scheduling=workload["asynchronous"],
    )


def twin_of(workload: Workload) -> Engine:
    return run_engine(
        workload["arrival_s"],
        workload["prompt"],
        workload["output"],
        worker_of(workload),
        key=lambda r, made, runs: workload["key"][r],
        preempt_worst_key=workload["preempt"] == "worst key",
        asynchronous=workload["asynchronous"],
    )


def kernel_of(workload: Workload) -> EngineRun:
    trace = Trace(
        arrival_s=np.array(workload["arrival_s"], dtype=np.float64),
        prompt_tokens=np.array(workload["prompt"]),
        output_tokens=np.array(workload["output"]),
        priority=np.array(workload["key"]),
    )
    victim = Victim.WORST_KEY if workload["preempt"] == "worst key" else Victim.LAST_ADMITTED
    return simulate(trace, worker_of(workload), replace(priority(), victim=victim))


@pytest.fixture(scope="module")
def answered(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Workload, Any]]:
    """Random workloads and what the real scheduler did with them."""
    rng = np.random.default_rng(20240601)
    workloads = [random_workload(rng, index) for index in range(WORKLOADS)]
    folder = tmp_path_factory.mktemp("vllm")
    question, answer = folder / "workloads.json", folder / "answers.json"
    question.write_text(json.dumps(workloads))
    ask_engine([engine_python, Path(__file__).with_name("drive_vllm.py"), question, answer])
    return list(zip(workloads, json.loads(answer.read_text()), strict=True))


def test_twin_runs_the_same_requests_in_the_same_steps_as_vllm(answered: list[tuple[Workload, Any]]) -> None:
    for index, (workload, answer) in enumerate(answered):
        twin = twin_of(workload)
        ours = [(step.scheduled_s, step.tokens, sorted(step.preempted)) for step in twin.steps]
        real = [(t, {int(r): n for r, n in tokens.items()}, gone) for t, tokens, gone in answer["log"]]
        for step, (mine, theirs) in enumerate(zip(ours, real, strict=False)):
            assert mine == theirs, f"workload {index}, step {step}: {workload}"
        assert len(ours) == len(real), f"workload {index}: {workload}"
        assert twin.first_token_s == answer["first_token_s"]
        assert twin.finish_s == answer["finish_s"]
        assert twin.preemptions == answer["preemptions"]


def test_simulator_gives_vllms_times_and_preemptions(answered: list[tuple[Workload, Any]]) -> None:
    for index, (workload, answer) in enumerate(answered):
        run = kernel_of(workload)
        first_calls = [math.inf] * len(workload["prompt"])
        for time, tokens, _ in answer["log"]:
            for r in map(int, tokens):
                first_calls[r] = min(first_calls[r], time)
        message = f"workload {index}: {workload}"
        np.testing.assert_allclose(run.scheduled_s, first_calls, rtol=1e-9, err_msg=message)
        np.testing.assert_allclose(run.first_token_s, answer["first_token_s"], rtol=1e-9, err_msg=message)
        np.testing.assert_allclose(run.finish_s, answer["finish_s"], rtol=1e-9, err_msg=message)
        np.testing.assert_array_equal(run.preemptions, answer["preemptions"], err_msg=message)
        assert run.steps == sum(bool(tokens) for _, tokens, _ in answer["log"]), message


def test_workloads_reach_the_hard_cases(answered: list[tuple[Workload, Any]]) -> None:
    """The comparison above means something only if these happen often."""
    preempted = sum(any(answer["preemptions"]) for _, answer in answered)
    several = sum(any(len(gone) > 1 for _, _, gone in answer["log"]) for _, answer in answered)
    nobody_left = sum(any(gone and not tokens for _, tokens, gone in answer["log"]) for _, answer in answered)
    chunked = sum(max(w["prompt"]) > w["max_num_batched_tokens"] for w, _ in answered)
    assert min(preempted, chunked) > WORKLOADS / 10
    assert several > WORKLOADS / 50
    assert nobody_left > 0
