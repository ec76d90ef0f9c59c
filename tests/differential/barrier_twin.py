"""The barrier simulator again, in plain Python made for reading."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shadowprice.fleet.step_time import StepTime
from shadowprice.routing.surface import Active, Pending, RoutingPolicy, Workers
from shadowprice.workload.trace import Trace


@dataclass
class Request:
    id: int
    arrival_s: float
    prompt: int
    output: int
    made: int = 0
    passes: int = 0
    worker: int = -1
    offered_s: float = 0.0
    first_token_s: float = 0.0
    finish_s: float = 0.0


@dataclass
class Rank:
    running: list[Request] = field(default_factory=list)
    queue: list[Request] = field(default_factory=list)


def view_of(trace: Trace, pool: list[Request], ranks: list[Rank], slots: int, ended: list[int], central: bool) -> Any:
    """What the policy sees."""
    ids = np.array([r.id for r in pool], np.int64)
    session = np.full(len(trace), -1) if trace.session is None else trace.session
    pending = Pending(
        arrival_s=trace.arrival_s[ids],
        prompt_tokens=trace.prompt_tokens[ids],
        session=session[ids],
        passes=np.array([r.passes for r in pool], np.int64),
        prefix=None if trace.prefix is None else trace.prefix.take(ids),
        prefix_block_tokens=trace.prefix_block_tokens,
        predicted_output=None if trace.predicted_output is None else trace.predicted_output[ids],
        may_wait=central,
    )
    running = [r for rank in ranks for r in rank.running]
    predicted = trace.predicted_output
    active = Active(
        worker=np.array([r.worker for r in running], np.int64),
        prompt_tokens=np.array([r.prompt for r in running], np.int64),
        generated_tokens=np.array([r.made for r in running], np.int64),
        predicted_output=None if predicted is None else predicted[[r.id for r in running]],
    )
    workers = Workers(
        held_tokens=np.array([sum(r.prompt + r.made for r in rank.running) for rank in ranks]),
        running=np.array([len(rank.running) for rank in ranks]),
        waiting=np.array([len(rank.queue) for rank in ranks]),
        waiting_tokens=np.array([sum(r.prompt for r in rank.queue) for rank in ranks]),
        slots=np.full(len(ranks), slots),
        active=active,
        finished_tokens=np.array(ended, np.int64),
    )
    return pending, workers


def serve(
    trace: Trace, policy: RoutingPolicy, workers: int, slots: int, time: StepTime, pool: int | None, saturated: bool
) -> tuple[list[Request], float, float]:
    """All requests with their times, seconds of steps, worker-seconds idle."""
    coming = [
        Request(i, *row)
        for i, row in enumerate(
            zip(trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True)
        )
    ]
    everyone = list(coming)
    ranks = [Rank() for _ in range(workers)]
    waiting: list[Request] = []
    ended: list[int] = []
    now = barrier = idle = 0.0
    while coming or waiting or any(rank.running or rank.queue for rank in ranks):
        while True:
            while coming and (pool is None or len(waiting) < pool) and (saturated or coming[0].arrival_s <= now):
                waiting.append(coming.pop(0))
                waiting[-1].offered_s = now if saturated else waiting[-1].arrival_s
            free = workers * slots - sum(len(rank.running) + len(rank.queue) for rank in ranks)
            if not waiting or (pool is not None and free == 0):
                break
            answer = policy.assign(*view_of(trace, waiting, ranks, slots, ended, pool is not None), now)
            ended = []
            for i, request in enumerate(waiting):
                if answer[i] < 0:
                    request.passes += sum(1 for g in answer[i + 1 :] if g >= 0)
            for request, g in zip(waiting, answer, strict=True):
                if g >= 0:
                    request.worker = int(g)
                    ranks[g].queue.append(request)
            waiting = [request for request, g in zip(waiting, answer, strict=True) if g < 0]
            if pool is None or all(g < 0 for g in answer):
                break
        if not any(rank.running or rank.queue for rank in ranks):
            now = max(now, coming[0].arrival_s)
            continue
        started = []
        for rank in ranks:
            while rank.queue and len(rank.running) < slots:
                started.append(rank.queue[0])
                rank.running.append(rank.queue.pop(0))
        own = [time.seconds(len(rank.running), sum(r.prompt + r.made for r in rank.running), 0) for rank in ranks]
        now += max(own)
        barrier += max(own)
        idle += sum(max(own) - seconds for seconds in own)
        for request in started:
            request.first_token_s = now
        for rank in ranks:
            for request in rank.running:
                request.made += 1
                if request.made == request.output:
                    request.finish_s = now
                    ended.append(request.output)
            rank.running = [r for r in rank.running if r.made < r.output]
    return everyone, barrier, idle
