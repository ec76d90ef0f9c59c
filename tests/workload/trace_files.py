"""Small files of every form that is read, and where the real ones lie."""

from pathlib import Path

import numpy as np
import pytest

from shadowprice.workload import Ragged, Trace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

AZURE = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
"""
AZURE_2024 = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-12 00:00:00+00:00,1452,3
2024-05-12 00:00:00.041683+00:00,584,3
2024-05-12 00:00:01.157988+00:00,862,38
"""
AZURE_MULTIMODAL = b"""TIMESTAMP,NumImages,ContextTokens,GeneratedTokens
2024-10-15T12:00:00.269Z,0,770,491
2024-10-15T12:00:05.819Z,2,949,126
"""
MOONCAKE = b"""{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47, 2366]}
"""
BURSTGPT = b"""Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
118,GPT-4,417,276,693,API log
"""
BURSTGPT_SESSIONS = b"""Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5.5,b7,1.2,ChatGPT,472,18,490,Conversation log
45.0,,2.5,GPT-4,1087,230,1317,API log
118.0,a1,3.5,GPT-4,417,276,693,Conversation log
119.0,b7,3.5,GPT-4,417,276,693,Conversation log
"""
SERVEGEN = b"""t_s,client,text_tokens,num_images,image_tokens,output_tokens
0.107,12,1788,2,6;6,172
0.199,5,90,0,,6
0.205,12,1166,3,338;96;1264,111
"""
AGENTIC = b"""session,agent,seq,t_s,model,input_tokens,output_tokens,cached_prefix_tokens,new_input_tokens,stop
0,0,0,0,m,15818,154,0,15818,T
0,0,1,9,m,16003,99,15808,195,E
7,0,0,0,m,100,5,0,100,T
"""
MEASURED = (
    b'{"request_id": "a", "input_toks": 2358, "output_toks": 531, "arrival_time": 1000.5, "queued_ts": 27.002,'
    b' "scheduled_ts": 27.003, "first_token_ts": 27.4, "last_token_ts": 30.0}\n'
    b'{"request_id": "b", "input_toks": 1034, "output_toks": 769, "arrival_time": 1001.5, "queued_ts": 28.001,'
    b' "scheduled_ts": 28.001, "first_token_ts": 28.25, "last_token_ts": 44.0}\n'
)
OWN = b"arrival_s,prompt_tokens,output_tokens,session\n0.5,10,20,3\n1.5,30,1,-1\n"
OWN_JSONL = (
    b'{"arrival_s":0.5,"prompt_tokens":10,"output_tokens":20}\n{"arrival_s":1,"prompt_tokens":3,"output_tokens":1}\n'
)

RECORD_JSONL = b"".join(
    b'{"arrival_s": %d.25, "prompt_tokens": 90, "output_tokens": %d, "session": 4, "tenant": -1, "priority": 0, '
    b'"prefix": [7, -8], "prefix_block_tokens": 64, "worker": "http://127.0.0.1:8001", "stop": "%s"}\n' % row
    for row in ((1800000001, 7, b"finished"), (1800000000, 0, b"refused"), (1800000002, 3, b"client_abort"))
)
SAMPLES = {
    "azure.csv": AZURE,
    "azure2024.csv": AZURE_2024,
    "multimodal.csv": AZURE_MULTIMODAL,
    "mooncake.jsonl": MOONCAKE,
    "burstgpt.csv": BURSTGPT,
    "burstgpt_sessions.csv": BURSTGPT_SESSIONS,
    "servegen.csv": SERVEGEN,
    "agentic.csv": AGENTIC,
    "measured.jsonl": MEASURED,
    "own.csv": OWN,
    "own.jsonl": OWN_JSONL,
    "record.jsonl": RECORD_JSONL,
}


def real(name: str) -> Path:
    """A real trace of the shared data folder; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs the real trace {name} in ../shared/data")
    return path


def full_trace(n: int = 3) -> Trace:
    """A trace that has every column."""
    counts = np.arange(n) % 3
    ids = np.arange(counts.sum())
    return Trace(
        arrival_s=np.arange(n) / 3,
        prompt_tokens=np.arange(n) + 1000,
        output_tokens=np.arange(n) + 1,
        predicted_output=np.arange(n) + 2,
        predicted_low=np.arange(n) + 1,
        predicted_high=np.arange(n) + 9,
        session=np.arange(n) - 1,
        tenant=np.arange(n) % 2,
        priority=-np.arange(n),
        value=np.arange(n) / 7,
        cached_tokens=np.arange(n) * 3,
        prefix=Ragged.from_lengths(ids * -(2**40), counts),
        prefix_block_tokens=16,
        media_tokens=Ragged.from_lengths(ids * 5, counts),
        media_cost=Ragged.from_lengths(ids / 3, counts),
        name="full",
    )


def assert_same_columns(a: Trace, b: Trace) -> None:
    """Every column of `a` and `b` is equal, entry by entry, and of equal type."""
    for name in a.__dataclass_fields__:
        left, right = getattr(a, name), getattr(b, name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
        elif isinstance(left, Ragged):
            assert left.values.dtype == right.values.dtype, name
            np.testing.assert_array_equal(left.values, right.values, err_msg=name)
            np.testing.assert_array_equal(left.offsets, right.offsets, err_msg=name)
        elif name not in ("name", "notes", "skipped_rows"):
            assert left == right, name
