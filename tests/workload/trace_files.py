"""Small files of every form that is read, and where the real ones lie."""

# ruff: noqa: E501  (lines as they are in such files)

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
MOONCAKE_SESSIONS = b"""{"session_id": "a", "timestamp": 100, "input_length": 130, "output_length": 9, "hash_ids": [1, 2, 3]}
{"session_id": 7, "timestamp": 150, "input_length": 64, "output_length": 4, "hash_ids": [1]}
{"session_id": "a", "delay": 500, "input_length": 200, "output_length": 5, "hash_ids": [1, 2, 3, 4]}
"""
BAILIAN = b"""{"chat_id": 0, "parent_chat_id": -1, "timestamp": 0.5, "input_length": 33, "output_length": 7, "type": "text", "turn": 1, "hash_ids": [5, 6, 7]}
{"chat_id": 4, "parent_chat_id": 99, "timestamp": 1.25, "input_length": 16, "output_length": 3, "type": "file", "turn": 2, "hash_ids": [8]}
{"chat_id": 5, "parent_chat_id": 0, "timestamp": 9.75, "input_length": 50, "output_length": 2, "type": "text", "turn": 2, "hash_ids": [5, 6, 7, 9]}
{"chat_id": 6, "parent_chat_id": 99, "timestamp": 12.0, "input_length": 17, "output_length": 2, "type": "text", "turn": 2, "hash_ids": [8, 10]}
"""
SERVEGEN_OFFLINE = b"""{"request_id": 0, "type": "text", "input_length": 61, "output_length": 2370, "duration": 14000}
{"request_id": 1, "type": "text", "input_length": 54, "output_length": 2031, "duration": 11630}
"""
VLLM_BENCH = b"""{
  "backend": "vllm", "request_rate": 2.0, "max_concurrency": null,
  "input_lens": [30, 40, 50],
  "output_lens": [3, 1, 0],
  "ttfts": [0.25, 0.5, 0.0],
  "itls": [[0.125, 0.25], [], []],
  "start_times": [100.0, 100.5, 101.0],
  "errors": ["", "", "Server disconnected"]
}
"""
GUIDELLM = b"""{"metadata": {"version": 1}, "benchmarks": [
  {"requests": {
    "successful": [
      {"request_id": "a", "prompt_tokens": 30, "output_tokens": 3, "request_start_time": 1700000000.5,
       "request_end_time": 1700000002.5, "time_to_first_token_ms": 250.0},
      {"request_id": "b", "input_metrics": {"text_tokens": 40}, "output_metrics": {"text_tokens": 4},
       "info": {"timings": {"request_start": 1700000000.0, "first_token_iteration": 1700000001.0,
                            "last_token_iteration": 1700000003.0, "request_end": 1700000003.5}}}
    ],
    "errored": [{"request_id": "c"}],
    "incomplete": []
  }}
]}
"""
INFERENCE_PERF = b"""[
  {"start_time": 5.5, "end_time": 7.0, "request": "...", "error": null,
   "info": {"input_tokens": 30, "output_tokens": 3, "output_token_times": [6.0, 6.25, 6.5]}},
  {"start_time": 5.0, "end_time": 8.0, "error": null, "session_id": "s",
   "info": {"request_metrics": {"text": {"input_tokens": 40}},
            "response_metrics": {"output_tokens": 4, "output_token_times": [5.5, 6.0, 7.0, 7.5]}}},
  {"start_time": 6.0, "end_time": 6.5, "error": {"error_type": "timeout"}, "info": {"input_tokens": 9}}
]
"""
AIPERF = b"".join(
    b'{"metadata": {"session_num": %d, "x_correlation_id": "%s", "turn_index": 0, "benchmark_phase": "profiling", '
    b'"request_start_ns": %d, "request_end_ns": %d, "was_cancelled": false}, "metrics": {"input_sequence_length": '
    b'{"value": %d, "unit": "tokens"}, "output_sequence_length": {"value": %d, "unit": "tokens"}, "time_to_first_token": '
    b'{"value": 250.0, "unit": "ms"}, "request_latency": {"value": 1.5, "unit": "s"}}, "error": null}\n' % row
    for row in (
        (0, b"x", 1759813207500000000, 1759813209000000000, 30, 3),
        (1, b"y", 1759813207000000000, 1759813208500000000, 40, 4),
        (2, b"x", 1759813209250000000, 1759813210750000000, 50, 5),
    )
) + (
    b'{"metadata": {"request_start_ns": 1759813207100000000, "was_cancelled": true}, "metrics": {"error_isl": '
    b'{"value": 5, "unit": "tokens"}}, "error": {"code": 499}}\n'
)
OTLP = b"""{"resourceSpans": [{"scopeSpans": [{"spans": [
  {"traceId": "t", "spanId": "a", "name": "invoke_agent", "startTimeUnixNano": "1700000000000000000",
   "endTimeUnixNano": "1700000009000000000", "attributes": [
     {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "70"}},
     {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "7"}}]},
  {"traceId": "t", "spanId": "b", "parentSpanId": "a", "name": "llm_request", "startTimeUnixNano": "1700000000500000000",
   "endTimeUnixNano": "1700000002500000000", "attributes": [
     {"key": "gen_ai.usage.prompt_tokens", "value": {"intValue": "30"}},
     {"key": "gen_ai.usage.completion_tokens", "value": {"intValue": "3"}},
     {"key": "gen_ai.latency.time_to_first_token", "value": {"doubleValue": 0.25}}]},
  {"traceId": "t", "spanId": "c", "parentSpanId": "a", "name": "chat", "startTimeUnixNano": "1700000003000000000",
   "endTimeUnixNano": "1700000005000000000", "attributes": [
     {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "40"}},
     {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "4"}}]}
]}]}]}
"""
SPANS = (
    b'{"name": "chat m", "context": {"trace_id": "0x1", "span_id": "0x2"}, "parent_id": null, "start_time": '
    b'"2025-01-01T00:00:00.500000Z", "end_time": "2025-01-01T00:00:02Z", "attributes": {"gen_ai.usage.input_tokens": 30, '
    b'"gen_ai.usage.output_tokens": 3, "gen_ai.conversation.id": "k"}}\n'
    b'{"name": "tool", "context": {"span_id": "0x3"}, "parent_id": null, "start_time": "2025-01-01T00:00:00Z", '
    b'"attributes": {}}\n'
    b'{"name": "chat m", "context": {"span_id": "0x4"}, "parent_id": "0x3", "start_time": "2025-01-01T00:00:00Z", '
    b'"end_time": "2025-01-01T00:00:01Z", "attributes": {"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 4}}'
    b"\n"
)
NAMED_CSV = b"arrived_at,num_prefill_tokens,num_decode_tokens,user\n0.5,10,20,a\n1.5,30,1,b\n"
NAMED_JSONL = b"".join(
    b'{"created_at": "2025-01-01T00:00:0%dZ", "prompt_tokens": %d, "completion_tokens": 3, "model": "m"}\n' % row
    for row in ((3, 30), (1, 10))
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
    "mooncake_sessions.jsonl": MOONCAKE_SESSIONS,
    "bailian.jsonl": BAILIAN,
    "servegen_offline.jsonl": SERVEGEN_OFFLINE,
    "vllm_bench.json": VLLM_BENCH,
    "guidellm.json": GUIDELLM,
    "inference_perf.json": INFERENCE_PERF,
    "aiperf.jsonl": AIPERF,
    "otlp.json": OTLP,
    "spans.jsonl": SPANS,
    "named.csv": NAMED_CSV,
    "named.jsonl": NAMED_JSONL,
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
        deadline_s=np.arange(n) / 3,
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
