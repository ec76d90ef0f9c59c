"""vidur (Python, its Sarathi scheduler: chunked prefill beside decoding) on the workload.

vidur's own step times come from random forests trained on profiles that it downloads at first start, after a grid
search of more than ten minutes. None of that is timed or needed here: T(B, KV, P) is registered as its predictor, and
takes 8 % of the run, so that the choice of predictor decides little. Its metrics are off, which is faster.
Timed: the event loop (`Simulator.run`), with all requests already in its queue.
"""

import csv
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vidur.config.config as config
from peer import answer, timed, workload
from vidur._native.entities import ExecutionTime
from vidur.execution_time_predictor import ExecutionTimePredictorRegistry
from vidur.logger import _root_logger
from vidur.simulator import Simulator
from vidur.types import ExecutionTimePredictorType

DAY = "2024-01-01"  # vidur keeps the rows of one date


@dataclass
class GivenStepTime(config.BaseExecutionTimePredictorConfig):
    """Says which predictor vidur is to take; DUMMY is a type that it names and leaves free."""

    @staticmethod
    def get_type() -> ExecutionTimePredictorType:
        return ExecutionTimePredictorType.DUMMY


def predictor(step_time: dict[str, float]) -> Callable[..., Any]:
    """T(B, KV, P) in the form in which vidur asks for it."""
    fixed, per_sequence, per_kv_token, per_prefill_token = (
        step_time[name] * 1e3 for name in ("fixed_s", "per_sequence_s", "per_kv_token_s", "per_prefill_token_s")
    )

    class Predictor:
        def __init__(self, **_: object) -> None: ...

        def get_execution_time(self, batch: Any, stage: int) -> Any:
            time_ms = fixed
            for request, tokens, kv in zip(batch.requests, batch.num_q_tokens, batch.num_kv_tokens, strict=True):
                if request.is_prefill_complete:
                    time_ms += per_sequence + per_kv_token * kv
                else:
                    time_ms += per_prefill_token * tokens
            return ExecutionTime(1, *[0.0] * 13, time_ms)  # one layer and a single term: they sum to time_ms

    return Predictor


def write_trace(load: dict[str, Any], path: Path) -> None:
    """The workload in vidur's CSV form."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Date", "Time", "PromptTokenCount", "CompletionTokenCount"])
        for row in zip(load["arrival_s"], load["prompt_tokens"], load["output_tokens"], strict=True):
            rows.writerow([DAY, *row])


def simulation(load: dict[str, Any], trace: Path) -> config.SimulationConfig:
    limits = load["limits"]
    blocks = limits["kv_tokens"] // limits["block_size"]
    return config.SimulationConfig(
        cluster_config=config.ClusterConfig(
            replica_config=config.ReplicaConfig(num_pipeline_stages=1, tensor_parallel_size=1),
            cache_config=config.CacheConfig(block_size=limits["block_size"], num_blocks=blocks),
            replica_scheduler_config=config.SarathiSchedulerConfig(
                batch_size_cap=limits["max_num_seqs"], chunk_size=limits["max_num_batched_tokens"]
            ),
        ),
        request_generator_config=config.TraceRequestGeneratorConfig(
            trace_file=str(trace), date=DAY, prefill_scale_factor=1, decode_scale_factor=1, time_scale_factor=1
        ),
        execution_time_predictor_config=GivenStepTime(),
        metrics_config=config.MetricsConfig(write_metrics=False, enable_chrome_trace=False, store_plots=False),
    )


def main() -> None:
    load = workload()
    _root_logger.handlers.clear()  # it logs to stdout
    ExecutionTimePredictorRegistry.register(ExecutionTimePredictorType.DUMMY, predictor(load["step_time"]))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # vidur writes its settings and results below the working directory
        trace = Path(folder) / "trace.csv"
        write_trace(load, trace)
        simulator = Simulator(simulation(load, trace))
        requests = [event._request for _, event in simulator._event_queue]
        _, seconds = timed(simulator.run)
        os.chdir("/")
    latency = [request.completed_at - request.arrived_at for request in requests]
    answer("vidur 0.0.26", len(requests), seconds, sum(latency) / len(latency))


if __name__ == "__main__":
    main()
