"""The workload of the speed comparison: the same seed gives the same requests to every simulator."""

from typing import Any

import numpy as np

# Llama-3.1-8B on one H100 under vLLM: T(B, KV, P) fitted to measured kernel times (2 % mean error)
STEP_TIME = {
    "fixed_s": 6.35e-3,
    "per_sequence_s": 1.12e-5,
    "per_kv_token_s": 4.13e-8,
    "per_prefill_token_s": 1.96e-5,
}
LIMITS = {"max_num_seqs": 256, "max_num_batched_tokens": 8192, "kv_tokens": 262_144, "block_size": 16}


def columns(requests: int, rate_per_s: float, seed: int) -> dict[str, Any]:
    """Poisson arrivals [s], prompts uniform in 500..1500 tokens, outputs uniform in 100..400; arrays of one length."""
    rng = np.random.default_rng(seed)
    return {
        "arrival_s": np.cumsum(rng.exponential(1 / rate_per_s, requests)),
        "prompt_tokens": rng.integers(500, 1501, requests),
        "output_tokens": rng.integers(100, 401, requests),
    }
