"""Which requests are larger than a worker's KV memory: no engine of that fleet can ever finish them."""

from dataclasses import replace

import numpy as np

from shadowprice.arrays import BoolArray
from shadowprice.errors import InfeasibleError
from shadowprice.fleet.worker import Worker
from shadowprice.workload.trace import Trace


def oversized(trace: Trace, worker: Worker) -> BoolArray:
    """Which requests need more KV tokens than the worker has blocks for, bool [n]: those of all tokens but the last."""
    return worker.blocks_of(trace.prompt_tokens + trace.output_tokens - 1) > worker.kv_blocks


def require_fit(trace: Trace, worker: Worker, fleet: str | None = None) -> None:
    """Raise InfeasibleError where a request is larger than the worker; fleet: its name, where it has one."""
    out = np.flatnonzero(oversized(trace, worker))
    if len(out) == 0:
        return
    peak = trace.prompt_tokens[out] + trace.output_tokens[out] - 1
    of = f" of {fleet}" if fleet else ""
    raise InfeasibleError(
        f"{trace.name}: {len(out)} of {len(trace)} requests need more KV tokens than a worker{of} has "
        f"({worker.kv_blocks * worker.block_size:,}); the first is request {out[0]} ({peak[0]:,}), the largest needs "
        f"{peak.max():,} KV tokens. Take a fleet with more KV memory, or leave them out with --drop-oversized"
    )


def drop_oversized(trace: Trace, worker: Worker) -> tuple[Trace, int]:
    """The trace without its oversized requests, and how many those are; a note in the trace says so."""
    out = oversized(trace, worker)
    dropped = int(out.sum())
    if dropped == 0:
        return trace, 0
    note = f"{dropped} of {len(trace)} requests dropped: larger than the {worker.kv_tokens:,} KV tokens of a worker"
    kept = trace.take(np.flatnonzero(~out))
    return replace(kept, notes=(*trace.notes, note)), dropped
