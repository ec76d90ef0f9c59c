"""Finished requests made from a trace, as the router would hand them over."""

import numpy as np

from shadowprice.router.record.finished import FinishedRequest
from shadowprice.workload import PRESETS, Trace


def chat(requests: int, rate_per_s: float = 20.0, seed: int = 0) -> Trace:
    return PRESETS["azure-conv-like"](np.random.default_rng(seed), requests=requests, rate_per_s=rate_per_s)


def finished(trace: Trace, ttft_s: float = 0.2, tpot_s: float = 0.03) -> list[FinishedRequest]:
    """Each request of the trace streamed, with the same TTFT and TPOT, four to a session and two to a prefix."""
    return [
        FinishedRequest(
            arrival_s=1.8e9 + float(trace.arrival_s[k]),
            prompt_tokens=int(trace.prompt_tokens[k]),
            output_tokens=int(trace.output_tokens[k]),
            session=k // 4,
            tenant=None,
            priority=None,
            prefix=tuple(1000 * (k // 2) + j for j in range(int(trace.prompt_tokens[k]) // 64)),
            prefix_block_tokens=64,
            worker="http://127.0.0.1:8001",
            queue_s=0.0,
            ttft_s=ttft_s,
            e2e_s=ttft_s + tpot_s * (int(trace.output_tokens[k]) - 1),
            status=200,
            streamed=True,
            stop="finished",
        )
        for k in range(len(trace))
    ]
