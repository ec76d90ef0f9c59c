"""Finished requests as a trace to evaluate policies on, and what the fleet really did with them."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from shadowprice.errors import RouterError
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.recorder import NO_CODE, same_blocks, signed
from shadowprice.router.shadow.score import Service, ShadowResult, plain
from shadowprice.workload.readers.table import ragged
from shadowprice.workload.trace import Trace

COMPARED = ("ttft_p50_s", "ttft_p99_s", "tpot_s", "e2e_mean_s", "throughput_tok_s")


def counts(request: FinishedRequest) -> bool:
    """Whether it has the lengths that a simulation needs."""
    return request.prompt_tokens > 0 and request.output_tokens > 0


def trace_of(requests: Sequence[FinishedRequest]) -> Trace:
    """The requests as a trace in order of arrival, seconds since the first. RouterError where one has no token."""
    rows = sorted(requests, key=lambda request: request.arrival_s)
    if not rows or not all(map(counts, rows)):
        raise RouterError("a trace of finished requests needs one at least, and only such as have prompt and output")
    start_s, size = rows[0].arrival_s, rows[-1].prefix_block_tokens
    session = np.array([NO_CODE if row.session is None else signed(row.session) for row in rows], dtype=np.int64)
    known = size > 0 and any(row.prefix for row in rows)
    prefixes = [list(map(signed, row.prefix)) if same_blocks(row.prefix_block_tokens, size) else [] for row in rows]
    return Trace(
        arrival_s=np.array([row.arrival_s - start_s for row in rows]),
        prompt_tokens=np.array([row.prompt_tokens for row in rows]),
        output_tokens=np.array([row.output_tokens for row in rows]),
        session=session if np.any(session != NO_CODE) else None,
        prefix=ragged(prefixes, np.int64) if known else None,
        prefix_block_tokens=size if known else 0,
        name="the live trace",
    )


def measured(requests: Sequence[FinishedRequest]) -> Service:
    """What the fleet really did with them: TTFT and TPOT of those streamed, latency of all, tokens over the window."""
    streamed = [row for row in requests if row.ttft_s is not None]
    ttft_s = np.array([row.ttft_s for row in streamed], dtype=np.float64)
    tpot_s = [
        (row.e2e_s - row.ttft_s) / (row.output_tokens - 1)
        for row in streamed
        if row.ttft_s is not None and row.output_tokens > 1
    ]
    window_s = max(row.arrival_s + row.e2e_s for row in requests) - min(row.arrival_s for row in requests)
    nan = float("nan")
    return Service(
        ttft_p50_s=float(np.quantile(ttft_s, 0.5)) if streamed else nan,
        ttft_p99_s=float(np.quantile(ttft_s, 0.99)) if streamed else nan,
        tpot_s=float(np.mean(tpot_s)) if tpot_s else nan,
        e2e_mean_s=float(np.mean([row.e2e_s for row in requests])),
        throughput_tok_s=sum(row.output_tokens for row in requests) / window_s if window_s > 0 else nan,
    )


def beside_measured(result: ShadowResult, real: Service, active: str) -> dict[str, Any]:
    """measured, and model_error: (simulated - measured) / measured of the active policy, where both are known."""
    row = result.of(active)
    error: dict[str, float | None] = dict.fromkeys(COMPARED)
    for name in COMPARED if row is not None else ():
        truth = getattr(real, name)
        if isfinite(truth) and truth > 0:
            error[name] = (getattr(row.service, name) - truth) / truth  # type: ignore[union-attr]
    return {"measured": plain(asdict(real)), "model_error": plain(error)}
