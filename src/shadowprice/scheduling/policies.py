"""Which waiting requests join a worker's batch: production orders, principled ones, and ours.

Every built-in policy but one is a `Ranked`: a key by which requests wait, a gate that says whether the next one's
memory is safe, and a bound on waiting. The same object decides in Python through `order` and runs compiled in the
simulators. Fairness between tenants needs a memory: `fairness.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from math import inf

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.work import priced_work as priced_work_s
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.fairness import VirtualTokenCounter, vtc
from shadowprice.scheduling.surface import Requests, WorkerState

Key = Callable[[Requests, Worker], FloatArray]


class Gate(IntEnum):
    """The memory rule for the next request in the queue; whatever it says, its present blocks must be free.

    OPTIMISTIC: nothing more, as vLLM does; preemption repairs what was too much. RESERVE_PEAK: the forecast peaks of
    all must fit together. LOOK_AHEAD: at every forecast completion the blocks of those still alive must fit (exact for
    the forecast, since usage only rises between completions). PROTECT: a share alpha of the memory stays free.
    """

    OPTIMISTIC = 0
    RESERVE_PEAK = 1
    LOOK_AHEAD = 2
    PROTECT = 3


class Victim(IntEnum):
    """Who is preempted when blocks run out: the last admitted, the worst key, or everyone with probability beta."""

    LAST_ADMITTED = 0
    WORST_KEY = 1
    CLEAR = 2


@dataclass(frozen=True)
class Ranked:
    """A policy: wait by ascending `key` (ties by arrival), join while `gate` allows; stop at the first that may not.

    max_wait_s: once the oldest waiting request has waited longer it is the head of the queue whatever its key, and
    nobody passes it; so a request is passed over only during its first max_wait_s. alpha: share of memory kept free
    (PROTECT). beta: probability with which each running request is cleared (CLEAR). Raises PolicyError outside
    max_wait_s >= 0, 0 <= alpha < 1, 0 < beta <= 1.
    """

    name: str
    key: Key
    gate: Gate = Gate.OPTIMISTIC
    victim: Victim = Victim.LAST_ADMITTED
    max_wait_s: float = inf
    alpha: float = 0.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        for name, value, fits, accepted in (
            ("max_wait_s", self.max_wait_s, self.max_wait_s >= 0, "a number >= 0"),
            ("alpha", self.alpha, 0 <= self.alpha < 1, "0 <= alpha < 1"),
            ("beta", self.beta, 0 < self.beta <= 1, "0 < beta <= 1"),
        ):
            if not fits:
                raise PolicyError(f"policy {self.name}: {name} is {value}; expected {accepted}")

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first, up to the first that the gate refuses."""
        queue = np.argsort(self.key(waiting, state.worker), kind="stable")
        late = state.now_s - waiting.arrival_s > self.max_wait_s
        late_first = np.concatenate([np.flatnonzero(late), queue[~late[queue]]])
        return _gated(self, late_first, waiting, running, state.worker)


def _gated(policy: Ranked, queue: IntArray, waiting: Requests, running: Requests, worker: Worker) -> IntArray:
    """The longest head of the queue that passes the gate one after another."""
    if policy.gate is Gate.OPTIMISTIC:
        return queue
    context = list(running.prompt_tokens + running.generated_tokens)
    left = list(np.maximum(running.predicted_output - running.generated_tokens, 1))
    taken = 0
    for i in queue:
        context.append(waiting.prompt_tokens[i] + waiting.generated_tokens[i])
        left.append(max(waiting.predicted_output[i] - waiting.generated_tokens[i], 1))
        if len(context) > 1 and not _fits(policy, np.array(context), np.array(left), worker):
            break
        taken += 1
    return queue[:taken]


def _fits(policy: Ranked, context: IntArray, left: IntArray, worker: Worker) -> bool:
    """Whether requests with so many KV tokens and steps left may run together under the policy's gate."""
    size = worker.block_size
    if policy.gate is Gate.PROTECT:
        return bool(np.sum(-(-context // size)) <= (1 - policy.alpha) * worker.kv_blocks)
    if policy.gate is Gate.RESERVE_PEAK:
        return bool(np.sum(-(-(context + left - 1) // size)) <= worker.kv_blocks)
    held = left + worker.async_scheduling  # steps decided a step ahead: the finished hold their blocks once more
    return all(np.sum(-(-(context[held >= d] + d - 1) // size)) <= worker.kv_blocks for d in np.unique(held))


def _arrival(requests: Requests, worker: Worker) -> FloatArray:
    return requests.arrival_s


def _priority(requests: Requests, worker: Worker) -> FloatArray:
    return requests.priority.astype(np.float64)


def _prompt(requests: Requests, worker: Worker) -> FloatArray:
    return requests.prompt_tokens.astype(np.float64)


def _output(requests: Requests, worker: Worker) -> FloatArray:
    return requests.predicted_output.astype(np.float64)


def _volume(requests: Requests, worker: Worker) -> FloatArray:
    prompt = requests.prompt_tokens.astype(np.float64)
    output = requests.predicted_output.astype(np.float64)
    return prompt * output + output * (output + 1) / 2


def _work(requests: Requests, worker: Worker) -> FloatArray:
    return priced_work_s(requests.prompt_tokens, requests.predicted_output, worker)


def fcfs() -> Ranked:
    """First come first served, as vLLM's default policy."""
    return Ranked("fcfs", _arrival)


def priority() -> Ranked:
    """Smallest `priority` first and the least urgent preempted, as vLLM's `--scheduling-policy priority`."""
    return Ranked("priority", _priority, victim=Victim.WORST_KEY)


def shortest_prompt(max_wait_s: float = inf) -> Ranked:
    """Shortest prompt first; needs no forecast."""
    return Ranked("shortest_prompt", _prompt, max_wait_s=max_wait_s)


def shortest_output(max_wait_s: float = inf) -> Ranked:
    """Shortest forecast output first."""
    return Ranked("shortest_output", _output, max_wait_s=max_wait_s)


def smallest_volume(max_wait_s: float = inf) -> Ranked:
    """Smallest memory-time volume s*o + o(o+1)/2 first (2606.22327: 1 + 2/(1-alpha) competitive, all at 0)."""
    return Ranked("smallest_volume", _volume, max_wait_s=max_wait_s)


def mc_sf(max_wait_s: float = inf) -> Ranked:
    """MC-SF: shortest forecast output first while the look-ahead memory check holds (2502.07115, section 4)."""
    return Ranked("mc_sf", _output, Gate.LOOK_AHEAD, max_wait_s=max_wait_s)


def mc_benchmark() -> Ranked:
    """MC-Benchmark: the look-ahead memory check, first come first served (2502.07115)."""
    return Ranked("mc_benchmark", _arrival, Gate.LOOK_AHEAD)


def protect_greedy(alpha: float = 0.2) -> Ranked:
    """alpha-protection greedy: FCFS while (1 - alpha) of the memory suffices; on overflow all are cleared."""
    return Ranked("protect_greedy", _arrival, Gate.PROTECT, Victim.CLEAR, alpha=alpha)


def protect_clearing(alpha: float = 0.2, beta: float = 0.2) -> Ranked:
    """alpha-protection, beta-clearing: as `protect_greedy`, but each is cleared with probability beta."""
    return Ranked("protect_clearing", _arrival, Gate.PROTECT, Victim.CLEAR, alpha=alpha, beta=beta)


def priced_work(max_wait_s: float = inf) -> Ranked:
    """Ours: the least shadow-priced work first, e*s + a*o + b*vol + c*max(o/Bmax, vol/M), with the look-ahead check.

    Smith's rule on the charges of `fleet/work.py`: each request costs what the slot-steps, the KV-token-steps and
    the tokens it needs are worth at the prices of the binding resource.
    """
    return Ranked("priced_work", _work, Gate.LOOK_AHEAD, max_wait_s=max_wait_s)


POLICIES: dict[str, Callable[..., Ranked | VirtualTokenCounter]] = {
    policy.__name__: policy
    for policy in (
        fcfs,
        priority,
        shortest_prompt,
        shortest_output,
        smallest_volume,
        mc_sf,
        mc_benchmark,
        protect_greedy,
        protect_clearing,
        priced_work,
        vtc,
    )
}
