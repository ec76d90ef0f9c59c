"""A real vLLM engine with a real (tiny) model goes through the steps that the simulator predicts.

On CPUs vLLM schedules synchronously whatever it is asked; its asynchronous scheduler is compared without a model.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ask_engine import ask_engine

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.engine import simulate
from shadowprice.workload.readers import read_measured
from shadowprice.workload.trace import Trace

REQUESTS = 40


def in_order(*times: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """The rank of each time among all the different ones: what remains when the length of steps is taken away."""
    return np.unique(np.concatenate([np.asarray(t) for t in times]), return_inverse=True)[1]


@pytest.fixture(scope="module")
def served(engine_python: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A workload in which memory is tight, and the log of what the engine did with it."""
    rng = np.random.default_rng(11)
    workload = {
        "prompt": rng.integers(1, 200, REQUESTS).tolist(),
        "output": rng.integers(1, 100, REQUESTS).tolist(),
        "max_num_seqs": 12,
        "max_num_batched_tokens": 128,
        "kv_blocks": 30,
        "block_size": 32,
    }
    folder = tmp_path_factory.mktemp("served")
    question, log = folder / "workload.json", folder / "log.jsonl"
    question.write_text(json.dumps(workload))
    ask_engine([engine_python, Path(__file__).with_name("measure_vllm.py"), tiny_model, question, log])
    return workload, log


def test_engine_goes_through_the_steps_of_the_simulator(served: tuple[Any, Path]) -> None:
    workload, log = served
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    trace = Trace(np.zeros(REQUESTS), np.array(workload["prompt"]), np.array(workload["output"]))
    worker = Worker(
        step_time=StepTime(1.0, 0.0, 0.0, 0.0),
        max_num_seqs=workload["max_num_seqs"],
        max_num_batched_tokens=workload["max_num_batched_tokens"],
        kv_tokens=workload["kv_blocks"] * workload["block_size"],
        block_size=workload["block_size"],
        async_scheduling=False,
    )
    run = simulate(trace, worker, fcfs())
    preemptions = [row["preemptions"] for row in rows]
    assert sum(preemptions) > 0
    np.testing.assert_array_equal(run.preemptions, preemptions)
    first, last = ([row[name] for row in rows] for name in ("first_token_ts", "last_token_ts"))
    np.testing.assert_array_equal(in_order(run.first_token_s, run.finish_s), in_order(first, last))
    np.testing.assert_array_equal(in_order(run.scheduled_s), in_order([row["scheduled_ts"] for row in rows]))


def test_the_log_reads_as_a_measured_log(served: tuple[Any, Path]) -> None:
    workload, log = served
    measured = read_measured(log)
    assert measured.trace.prompt_tokens.tolist() == workload["prompt"]
    assert measured.trace.output_tokens.tolist() == workload["output"]
    assert np.all(measured.last_token_s >= measured.first_token_s)
