"""Finished requests that a number tells apart, and records of them."""

from pathlib import Path

import msgspec
import pytest

from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.recorder import Recorder

BOTH = pytest.mark.parametrize("name", ["trace.parquet", "trace.jsonl"])


def numbered(k: int, **changes: object) -> FinishedRequest:
    """Request k of many: arrives at second k of an hour in 2027."""
    one = FinishedRequest(
        arrival_s=1.8e9 + k,
        prompt_tokens=k + 1,
        output_tokens=2 * k + 1,
        session=k % 3,
        tenant=k % 2,
        priority=None,
        prefix=(k, -k),
        prefix_block_tokens=64,
        worker="http://127.0.0.1:8001",
        queue_s=0.25,
        ttft_s=0.5,
        e2e_s=1.5,
        status=200,
        streamed=True,
        stop="finished",
    )
    return msgspec.structs.replace(one, **changes)


def write(path: Path, *requests: FinishedRequest) -> None:
    recorder = Recorder(path)
    for request in requests:
        recorder.add(request)
    recorder.close()
