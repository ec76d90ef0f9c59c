"""Prefill and decode in pools of their own, with KV sent between them; and the same fleet together, to compare.

A prefill worker is the engine of `simulate/engine.py` on requests of one output token. Its KV then crosses the worker's
link (`Link`) and the request queues at a decode worker: the same engine, with the prompt's KV already computed. As
in vLLM it joins the batch when a slot and the blocks of its whole context are free, decodes from there on, and if
preempted recomputes its context there. Requests go to the worker with the fewest tokens held and waiting, in both pools
alike.

Where the first token comes from is a convention. `first_token="prefill"`: the prefill worker sends it to the user
(DistServe, SGLang, Mooncake), and transfer and queue for decoding count towards TPOT. `first_token="decode"`: the
decode worker computes the prompt's last token again and sends the first one (vLLM's KV connectors), so they count
towards TTFT. KV on its way or queueing for a decode worker is held by neither pool here; `peak_between_tokens` says how
much there was, and an engine that keeps it on the prefill worker until it is fetched needs that memory.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.disaggregation.problem import Link
from shadowprice.errors import PolicyError
from shadowprice.fleet.oversized import require_fit
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.ranked import Ranked
from shadowprice.simulate import _engine_state as kernel
from shadowprice.simulate._disaggregated_kernel import TRANSFER, send, serve_pool
from shadowprice.simulate._engine_tables import request_table, rules_of
from shadowprice.simulate.engine import Latencies
from shadowprice.workload.trace import Trace

FirstToken = Literal["prefill", "decode"]
NO_SAMPLES = 2  # rows of time series kept per worker: the kernel needs room for some


@dataclass(frozen=True)
class PoolRun:
    """One pool's part. Per request: scheduled_s, first_token_s, finish_s [s], preemptions, worker; per worker: busy_s.

    scheduled_s is the first admission, finish_s the last token made in this pool.
    """

    scheduled_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    preemptions: IntArray
    worker: IntArray
    busy_s: FloatArray


@dataclass(frozen=True)
class PoolsRun(Latencies):
    """What a run did, per request: first_token_s, finish_s [s]; and each pool's part.

    prefill: None when the workers do both. ready_s: when the KV had reached the decode pool, its requests' rows only
    (`decoded`: which they are). peak_between_tokens: most KV tokens at one time on their way or queueing to be decoded.
    """

    trace: Trace
    first_token_s: FloatArray
    finish_s: FloatArray
    prefill: PoolRun | None
    decode: PoolRun
    decoded: IntArray
    ready_s: FloatArray
    peak_between_tokens: int


def simulate_together(trace: Trace, worker: Worker, workers: int, policy: Ranked) -> PoolsRun:
    """Serve the trace on `workers` equal workers that prefill and decode, routed as the pools are.

    Raises InfeasibleError when a request cannot fit a worker's KV memory, PolicyError without a worker.
    """
    require_fit(trace, worker)
    done = _serve(trace, request_table(trace, worker, policy), worker, workers, policy)
    every = np.arange(len(trace))
    return PoolsRun(trace, done.first_token_s, done.finish_s, None, done, every, trace.arrival_s, 0)


def simulate_apart(
    trace: Trace,
    prefill: tuple[Worker, int],
    decode: tuple[Worker, int],
    policy: Ranked,
    link: Link | None = None,
    *,
    first_token: FirstToken = "prefill",
) -> PoolsRun:
    """Serve the trace on a prefill pool and a decode pool, each a worker and how many of it; link: None is free.

    Raises InfeasibleError when a request cannot fit a worker's KV memory, PolicyError for an empty pool.
    """
    if first_token not in ("prefill", "decode"):
        raise PolicyError(f"first_token is {first_token!r}; expected 'prefill' or 'decode'")
    prompts = replace(trace, output_tokens=np.ones(len(trace), np.int64), predicted_output=None)
    require_fit(prompts, prefill[0])
    require_fit(trace, decode[0])
    first = _serve(prompts, request_table(prompts, prefill[0], policy), *prefill, policy)
    to_decode = np.arange(len(trace))
    if first_token == "prefill":
        to_decode = np.flatnonzero(trace.output_tokens > 1)
    ready_s = _ready(trace, first, link, *prefill, to_decode)
    order = np.argsort(ready_s, kind="stable")
    to_decode, ready_s = to_decode[order], ready_s[order]
    second = _decode(trace.take(to_decode, ready_s), *decode, policy, first_token)
    first_token_s, finish_s = first.first_token_s.copy(), first.finish_s.copy()
    finish_s[to_decode] = second.finish_s
    if first_token == "decode":
        first_token_s[to_decode] = second.first_token_s
    between = _peak(first.finish_s[to_decode], second.scheduled_s, trace.prompt_tokens[to_decode])
    return PoolsRun(trace, first_token_s, finish_s, first, second, to_decode, ready_s, between)


def _serve(trace: Trace, tables: tuple[Records, Records], worker: Worker, workers: int, policy: Ranked) -> PoolRun:
    """Run one pool over its tables of requests and keys."""
    if isinstance(workers, bool) or not isinstance(workers, int | np.integer) or workers < 1:
        raise PolicyError(f"a pool of {workers!r} workers; expected a whole number >= 1")
    requests, keys = tables
    rules = rules_of(worker, policy, requests, asks=False, every_step=False)
    engines = kernel.idle_engines(requests, rules, keys, workers, NO_SAMPLES)
    if not serve_pool(engines, np.random.default_rng(0)):
        raise PolicyError(f"{policy}: requests of {trace.name} wait for ever on an idle worker")
    return PoolRun(
        scheduled_s=requests["scheduled_s"].copy(),
        first_token_s=requests["first_token_s"].copy(),
        finish_s=requests["finish_s"].copy(),
        preemptions=requests["preemptions"].copy(),
        worker=requests["worker"].copy(),
        busy_s=engines.runs["busy_s"].copy(),
    )


def _decode(trace: Trace, worker: Worker, workers: int, policy: Ranked, first_token: FirstToken) -> PoolRun:
    """Run the decode pool: the trace's arrivals are the moments at which the KV of the prompts is there."""
    if first_token == "prefill":
        tables = request_table(trace, worker, policy, computed=trace.prompt_tokens, generated=1)
    else:  # the last token of the prompt is computed again, to sample from
        tables = request_table(trace, worker, policy, computed=trace.prompt_tokens - 1)
    return _serve(trace, tables, worker, workers, policy)


def _ready(trace: Trace, first: PoolRun, link: Link | None, worker: Worker, links: int, rows: IntArray) -> FloatArray:
    """When the KV of these requests has reached the decode pool [s].

    Layers are computed evenly over the least time that the prompt takes, up to its end: in a step shared with others
    they take longer and so start earlier, and more of the transfer overlaps.
    """
    if link is None:
        return first.finish_s[rows]
    order = rows[np.argsort(first.finish_s[rows], kind="stable")]
    computing_s = work(trace.prompt_tokens, np.ones_like(trace.output_tokens), worker).alone_s
    transfers = np.zeros(len(order), TRANSFER)
    transfers["worker"] = first.worker[order]
    transfers["start_s"] = (first.finish_s - computing_s)[order]
    transfers["end_s"] = first.finish_s[order]
    transfers["transfer_s"] = link.transfer_s(trace.prompt_tokens)[order]
    send(transfers, float(link.latency_s), link.layers, links)
    ready_s = np.full(len(trace), np.nan)
    ready_s[order] = transfers["ready_s"]
    return ready_s[rows]


def _peak(start_s: FloatArray, end_s: FloatArray, tokens: IntArray) -> int:
    """Largest sum of `tokens` over intervals [start, end) that cover one moment."""
    moments = np.concatenate([end_s, start_s])  # at equal moments what ends comes first
    changes = np.concatenate([-tokens, tokens])[np.argsort(moments, kind="stable")]
    return int(np.cumsum(changes).max(initial=0))
