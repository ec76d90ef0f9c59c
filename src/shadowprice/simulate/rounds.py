"""The theory model: unit rounds, one worker with M tokens, every active request makes one token per round."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.optimum.local_search import ranked_starts
from shadowprice.scheduling.problem import RoundInstance
from shadowprice.scheduling.ranked import Gate, Ranked
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, WorkerState
from shadowprice.simulate._engine_tables import key_table
from shadowprice.simulate._rounds_kernel import ROUND_REQUEST, RoundRules, gated_starts


@dataclass(frozen=True)
class RoundResult:
    """What a policy did, per request: start of the run that finished, finish and latency in rounds, times cleared.

    All int64 [n], in the instance's order. A cleared request lost its work and waited again.
    """

    start: IntArray
    finish: IntArray
    latency: IntArray
    cleared: IntArray

    @property
    def total_latency(self) -> int:
        """Sum of latencies [rounds], the objective of the hindsight program."""
        return int(self.latency.sum())


def simulate(instance: RoundInstance, policy: SchedulingPolicy, rng: np.random.Generator | None = None) -> RoundResult:
    """Run `policy` over `instance`; a built-in policy (`Ranked`) runs compiled, any other object through its `order`.

    In each round: the finished leave; if the coming round would overflow, victims are cleared until it fits (the last
    admitted first, or as the policy's `victim` says) and nobody joins, unless nobody is left; else the policy orders
    the waiting, with prompt_tokens = s, generated_tokens = j, computed_tokens = s + j and arrival and time in rounds,
    and they join along that order while the coming round fits. Nobody gives way here: a start is final but for
    overflow, and who is cleared begins anew, so that keys move only while a request runs, for the choice of victims.
    rng: needed by policies that clear at random.

    Raises PolicyError when a decision is impossible, rng is missing, or the policy has not finished all requests by a
    round that any policy without livelock reaches: clearing everyone at each overflow can repeat itself forever.
    """
    if len(instance) == 0:
        nothing = np.empty(0, dtype=np.int64)
        return RoundResult(nothing, nothing, nothing, nothing)
    if isinstance(policy, Ranked):
        starts, cleared = _compiled(instance, policy, rng)
    else:
        starts, cleared = _stepped(instance, policy)
    if np.any(starts < 0):
        raise PolicyError(
            f"policy {_name(policy)}: {np.count_nonzero(starts < 0)} of {len(instance)} requests had not finished by "
            f"round {_last_round(instance)}; it clears or idles without end (protect more memory, or clear fewer)"
        )
    finish = starts + instance.output_tokens
    return RoundResult(starts, finish, finish - instance.arrival, cleared)


def _name(policy: SchedulingPolicy) -> str:
    return str(getattr(policy, "name", type(policy).__name__))


def _last_round(instance: RoundInstance) -> int:
    """Ten times the rounds that one request at a time would take, and room for random clearing to succeed."""
    return int(instance.arrival.max() + 10 * instance.output_tokens.sum() + 100_000)


def _worker(instance: RoundInstance) -> Worker:
    """The round model's worker: a step is a round, only memory binds."""
    most = len(instance) + 1
    tokens = int(instance.memory_tokens)
    return Worker(
        StepTime(1.0, 0.0, 0.0, 0.0), most, most + tokens * most, tokens, block_size=1, async_scheduling=False
    )


def _requests(instance: RoundInstance, index: IntArray, generated: IntArray) -> Requests:
    prompt = instance.prompt_tokens[index]
    return Requests(
        arrival_s=instance.arrival[index].astype(np.float64),
        prompt_tokens=prompt,
        predicted_output=instance.output_tokens[index],
        generated_tokens=generated,
        computed_tokens=np.where(generated > 0, prompt + generated, 0),
        priority=np.zeros(len(index), dtype=np.int64),
    )


def _compiled(instance: RoundInstance, policy: Ranked, rng: np.random.Generator | None) -> tuple[IntArray, IntArray]:
    nothing = np.zeros(len(instance), dtype=np.int64)
    seen, worker = _requests(instance, np.arange(len(instance)), nothing), _worker(instance)
    policy.require_static(seen, worker)
    key = policy.keys(seen, worker)
    if policy.gate == Gate.LOOK_AHEAD:
        return ranked_starts(instance, key, policy.max_wait_s), nothing
    if policy.beta < 1 and rng is None:
        raise PolicyError(f"policy {policy.name} clears at random; pass rng=numpy.random.default_rng(seed)")
    requests = np.zeros(len(instance), ROUND_REQUEST)
    for name, column in zip(
        ("arrival", "prompt", "output"), (instance.arrival, instance.prompt_tokens, instance.output_tokens), strict=True
    ):
        requests[name] = column
    by_arrival = np.argsort(instance.arrival, kind="stable")
    requests["place"][by_arrival] = np.arange(len(instance))
    requests["rank"][by_arrival[np.argsort(key[by_arrival], kind="stable")]] = np.arange(len(instance))
    requests["start"] = -1
    keys, requests["level"] = key_table(seen, policy, worker, instance.output_tokens)
    rules = RoundRules(
        memory=int(instance.memory_tokens),
        max_wait=float(policy.max_wait_s),
        gate=int(policy.gate),
        alpha=float(policy.alpha),
        headroom=int(policy.headroom),
        victim=int(policy.victim),
        beta=float(policy.beta),
        last_round=_last_round(instance),
    )
    gated_starts(requests, keys, rules, np.random.default_rng(0) if rng is None else rng)
    return requests["start"].copy(), requests["cleared"].copy()


def _stepped(instance: RoundInstance, policy: SchedulingPolicy) -> tuple[IntArray, IntArray]:
    """Round by round in plain Python, through the policy's `order`."""
    worker = _worker(instance)
    prompt, output, memory = instance.prompt_tokens, instance.output_tokens, int(instance.memory_tokens)
    starts, cleared = np.full(len(instance), -1, dtype=np.int64), np.zeros(len(instance), dtype=np.int64)
    coming = list(np.argsort(instance.arrival, kind="stable"))
    waiting: list[int] = []
    running: list[int] = []
    for now in range(_last_round(instance) + 1):
        running = [i for i in running if starts[i] + output[i] > now]
        while coming and instance.arrival[coming[0]] <= now:
            waiting.append(coming.pop(0))
        held = sum(int(prompt[i] + now - starts[i] + 1) for i in running)
        overflow = held > memory
        while held > memory:
            i = running.pop()
            held -= int(prompt[i] + now - starts[i] + 1)
            starts[i], cleared[i] = -1, cleared[i] + 1
            waiting.append(i)
        waiting.sort(key=lambda i: (instance.arrival[i], i))
        if waiting and (not overflow or not running):
            for i in _ordered(instance, policy, worker, waiting, running, starts, now):
                if held + prompt[i] + 1 > memory:
                    break
                held += int(prompt[i]) + 1
                starts[i] = now
                running.append(i)
            waiting = [i for i in waiting if starts[i] < 0]
        if not (waiting or running or coming):
            return starts, cleared
    starts[waiting + running] = -1
    return starts, cleared


def _ordered(
    instance: RoundInstance,
    policy: SchedulingPolicy,
    worker: Worker,
    waiting: list[int],
    running: list[int],
    starts: IntArray,
    now: int,
) -> list[int]:
    """The requests that the policy wants, best first; raises PolicyError when it does not name each at most once."""
    active, queue = np.array(running, dtype=np.int64), np.array(waiting, dtype=np.int64)
    run = _requests(instance, active, now - starts[active])
    state = WorkerState(worker, float(now), int(instance.memory_tokens - run.computed_tokens.sum()))
    wanted = np.asarray(policy.order(_requests(instance, queue, np.zeros(len(queue), dtype=np.int64)), run, state))
    if len(wanted) == 0:
        return []
    valid = wanted.ndim == 1 and np.issubdtype(wanted.dtype, np.integer)
    if not valid or wanted.min() < 0 or wanted.max() >= len(queue) or len(np.unique(wanted)) < len(wanted):
        raise PolicyError(
            f"policy {_name(policy)}: round {now}: order returned {wanted!r}; "
            f"expected distinct indices below {len(queue)}"
        )
    return [int(i) for i in queue[wanted]]
