"""Serves requests with the real engine and model, all at hand at time 0: `python measure_vllm.py MODEL IN OUT`.

IN is {prompt, output, max_num_seqs, max_num_batched_tokens, kv_blocks, block_size}. OUT gets one line per request: its
lengths, vLLM's own timestamps of it, and how often it was preempted. The engine runs in this process, so that every
request waits before the first step is scheduled.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(
    VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="1", VLLM_LOGGING_LEVEL="ERROR", HF_HUB_OFFLINE="1"
)

from vllm import LLM, SamplingParams


def main():
    model, question, answer = sys.argv[1:]
    workload = json.loads(Path(question).read_text())
    llm = LLM(
        model,
        max_model_len=512,
        max_num_seqs=workload["max_num_seqs"],
        max_num_batched_tokens=workload["max_num_batched_tokens"],
        num_gpu_blocks_override=workload["kv_blocks"] + 1,  # one is vLLM's own null block
        block_size=workload["block_size"],
        enable_prefix_caching=False,
        enforce_eager=True,
        dtype="bfloat16",
        disable_log_stats=False,
    )
    outputs = llm.generate(
        [{"prompt_token_ids": [7] * tokens} for tokens in workload["prompt"]],
        [SamplingParams(max_tokens=tokens, ignore_eos=True) for tokens in workload["output"]],
        use_tqdm=False,
    )
    rows = [
        {
            "request_id": output.request_id,
            "input_toks": len(output.prompt_token_ids),
            "output_toks": len(output.outputs[0].token_ids),
            "arrival_time": output.metrics.arrival_time,
            "queued_ts": output.metrics.queued_ts,
            "scheduled_ts": output.metrics.scheduled_ts,
            "first_token_ts": output.metrics.first_token_ts,
            "last_token_ts": output.metrics.last_token_ts,
            "preemptions": output.metrics.num_preemptions,
        }
        for output in outputs
    ]
    Path(answer).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
