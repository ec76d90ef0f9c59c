"""Runs the real vLLM scheduler without a model: `python drive_vllm.py WORKLOADS.json ANSWERS.json`, in .venv-engines.

WORKLOADS is a list of {arrival_s, prompt, output, key, preempt, asynchronous, max_num_seqs, max_num_batched_tokens,
kv_blocks, block_size}. Every step that computes something lasts one second. An answer has the log of all calls of
schedule(), as [time, {request: tokens}, [preempted]], and first_token_s, finish_s and preemptions per request.
"""

import json
import os
import sys
import tempfile
from collections import deque
from pathlib import Path

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.request_queue import PriorityRequestQueue
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 65536,
}


def engine_config(folder):
    """vLLM's own configuration for a model of which only config.json exists; limits are set per workload."""
    (Path(folder) / "config.json").write_text(json.dumps(MODEL))
    return EngineArgs(
        model=folder,
        skip_tokenizer_init=True,
        max_model_len=65536,
        max_num_seqs=8,
        max_num_batched_tokens=64,
        enable_prefix_caching=False,
        dtype="bfloat16",
        enforce_eager=True,
        async_scheduling=False,
    ).create_engine_config()


def scheduler_for(config, workload):
    """A fresh scheduler with the limits of the workload; one of its blocks is vLLM's own null block."""
    limits = config.scheduler_config
    limits.max_num_seqs = workload["max_num_seqs"]
    limits.max_num_batched_tokens = workload["max_num_batched_tokens"]
    limits.max_num_scheduled_tokens = None
    limits.async_scheduling = workload["asynchronous"]
    limits.policy = "priority" if workload["preempt"] == "worst key" else "fcfs"
    block_size, blocks = workload["block_size"], workload["kv_blocks"] + 1
    config.cache_config.num_gpu_blocks = blocks
    spec = FullAttentionSpec(block_size=block_size, num_kv_heads=1, head_size=32, dtype=torch.bfloat16)
    scheduler = (AsyncScheduler if workload["asynchronous"] else Scheduler)(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=block_size,
        log_stats=False,
    )
    if workload["preempt"] == "last admitted" and any(workload["key"]):
        scheduler.waiting = PriorityRequestQueue()  # what a plug-in with an order of its own does
    return scheduler


def request(workload, i):
    return Request(
        request_id=f"{i:06d}",
        prompt_token_ids=[1] * workload["prompt"][i],
        sampling_params=SamplingParams(max_tokens=workload["output"][i], ignore_eos=True),
        pooling_params=None,
        arrival_time=float(i),  # the rank of arrival, so that no two are equal
        priority=int(workload["key"][i]),
    )


def model_output(scheduled):
    """What the model runner returns: one token for each request whose known tokens are all computed."""
    names = list(scheduled)
    return ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: k for k, name in enumerate(names)},
        sampled_token_ids=[[7] if scheduled[name] else [] for name in names],
        logprobs=None,
        prompt_logprobs_dict={},
        pooler_output=[],
    )


def run(scheduler, workload):
    """Feed the arrivals and answer the steps, in the order of vLLM's engine core (two steps in flight if async)."""
    arrival_s, n = workload["arrival_s"], len(workload["arrival_s"])
    log, first_token_s, finish_s, preemptions = [], [None] * n, [None] * n, [0] * n
    now, arrived, in_flight = 0.0, 0, deque()
    while arrived < n or scheduler.has_unfinished_requests():
        if not scheduler.has_unfinished_requests():
            now = max(now, arrival_s[arrived])
        while arrived < n and arrival_s[arrived] <= now:
            scheduler.add_request(request(workload, arrived))
            arrived += 1
        step = scheduler.schedule()
        tokens = step.num_scheduled_tokens
        preempted = sorted(int(name) for name in step.preempted_req_ids)
        for r in preempted:
            preemptions[r] += 1
        log.append([now, {int(name): count for name, count in tokens.items()}, preempted])
        if tokens:
            sampled = {name: not scheduler.requests[name].is_prefill_chunk for name in tokens}
            in_flight.append((step, model_output(sampled)))
            if workload["asynchronous"] and len(in_flight) == 1:
                continue
        if in_flight:
            now += 1.0
            for output in scheduler.update_from_output(*in_flight.popleft()).values():
                for entry in output.outputs:
                    r = int(entry.request_id)
                    first_token_s[r] = now if first_token_s[r] is None else first_token_s[r]
                    finish_s[r] = now if entry.finish_reason is not None else None
    return {"log": log, "first_token_s": first_token_s, "finish_s": finish_s, "preemptions": preemptions}


def main():
    workloads = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        config = engine_config(folder)
        answers = [run(scheduler_for(config, workload), workload) for workload in workloads]
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
