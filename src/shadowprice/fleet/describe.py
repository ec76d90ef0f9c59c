"""A fleet in plain words and numbers, for people and for JSON."""

from dataclasses import asdict
from typing import Any

from shadowprice.fleet.derive import fleet_memory
from shadowprice.fleet.engine_limits import origin_of_limits
from shadowprice.fleet.fleet import Fleet

BATCHES = (1, 8, 32, 64, 128, 256, 512)
CONTEXT_TOKENS = 1024
PROMPT_TOKENS = 1024


def describe(fleet: Fleet) -> dict[str, Any]:
    """Everything that follows from a fleet, as one JSON object: its parts, what fits, and how long steps take.

    `memory` is per GPU in bytes, None without GPU and model. `steps`: decode steps at several batch sizes, each
    sequence with 1024 tokens of context, as far as slots and KV tokens allow, then one prefill step of 1024 tokens.
    """
    idle_w, peak_w = fleet.worker_power_w
    return {
        "name": fleet.name,
        "workers": fleet.workers,
        "gpus": fleet.gpus,
        "gpus_per_worker": fleet.gpus_per_worker,
        "gpu": None if fleet.gpu is None else asdict(fleet.gpu),
        "model": None if fleet.model is None else _model(fleet),
        "worker": {k: v for k, v in asdict(fleet.worker).items() if k != "step_time"},
        "limits_from": origin_of_limits(fleet.gpu, fleet.worker),
        "gpu_memory_utilization": fleet.gpu_memory_utilization,
        "kv_cache_dtype": fleet.kv_cache_dtype,
        "memory": None if fleet.gpu is None or fleet.model is None else asdict(fleet_memory(fleet)),
        "step_time": asdict(fleet.worker.step_time) | {"note": fleet.step_time_note},
        "steps": _steps(fleet),
        "worker_power": {"idle_power_w": idle_w, "peak_power_w": peak_w},
    }


def _model(fleet: Fleet) -> dict[str, Any]:
    model = fleet.model
    assert model is not None
    return asdict(model) | {
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "weight_bytes": model.weight_bytes(),
        "kv_bytes_per_token": model.kv_bytes_per_token(fleet.kv_cache_dtype),
        "state_bytes_per_sequence": model.state_bytes(),
    }


def _steps(fleet: Fleet) -> list[dict[str, float]]:
    worker = fleet.worker
    steps = []
    for sequences in BATCHES:
        kv_tokens = round(sequences * float(worker.read_of(CONTEXT_TOKENS)))
        held = sequences * int(worker.blocks_of(CONTEXT_TOKENS))
        if sequences <= worker.max_num_seqs and held <= worker.kv_blocks:
            seconds = worker.step_time.seconds(sequences, kv_tokens, 0)
            steps.append(_step(sequences, kv_tokens, 0, seconds, sequences / seconds))
    prompt = min(PROMPT_TOKENS, worker.max_num_batched_tokens)
    seconds = worker.step_time.seconds(0, 0, prompt)
    return [*steps, _step(0, 0, prompt, seconds, prompt / seconds)]


def _step(sequences: int, kv_tokens: int, prefill_tokens: int, seconds: float, tokens_per_s: float) -> dict[str, float]:
    return {
        "sequences": sequences,
        "kv_tokens": kv_tokens,
        "prefill_tokens": prefill_tokens,
        "step_time_s": seconds,
        "tokens_per_s": tokens_per_s,
    }
