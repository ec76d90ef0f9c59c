"""Policies that a kernel can run: a key by which requests wait, a gate before memory, a bound on waiting.

The same object decides in Python through `order` and runs compiled in the simulators, to the last bit alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from math import floor, inf

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.surface import Needs, Requests, WorkerState

NOTHING = Needs()

Key = Callable[[Requests, Worker], FloatArray]


class Gate(IntEnum):
    """The memory rule for the next request in the queue; whatever it says, its present blocks must be free.

    OPTIMISTIC: nothing more, as vLLM does; preemption repairs what was too much. RESERVE_PEAK: the forecast peaks of
    all must fit together. LOOK_AHEAD: at every forecast completion the blocks of those still alive must fit (exact for
    the forecast, since usage only rises between completions). PROTECT: a share alpha of the memory stays free.
    HEADROOM: the blocks of all must fit once each has made `headroom` more tokens; so, where steps are decided one
    after the other, nobody is preempted within that many steps of the last admission, and no output so short ever.
    """

    OPTIMISTIC = 0
    RESERVE_PEAK = 1
    LOOK_AHEAD = 2
    PROTECT = 3
    HEADROOM = 4


class Victim(IntEnum):
    """Who is preempted when blocks run out: the last admitted, the worst key, or everyone with probability beta."""

    LAST_ADMITTED = 0
    WORST_KEY = 1
    CLEAR = 2


@dataclass(frozen=True)
class Levels:
    """Numbers of tokens made at which a moving key is taken anew: 0, then after `step` tokens, and so on.

    Each gap is `growth` times the one before (1: all alike). Raises PolicyError outside step >= 1 and growth >= 1.
    """

    step: int
    growth: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.step, int) and self.step >= 1 and 1 <= self.growth < inf):
            raise PolicyError(f"levels of {self.step} tokens, growing by {self.growth}; expected both to be at least 1")

    def up_to(self, tokens: int) -> IntArray:
        """The levels' first numbers of tokens, ascending from 0, none above `tokens`."""
        if self.growth == 1:
            return np.arange(0, tokens + 1, self.step, dtype=np.int64)
        starts, gap = [0.0], float(self.step)
        while floor(starts[-1] + gap) <= tokens:
            starts.append(starts[-1] + gap)
            gap *= self.growth
        return np.floor(starts).astype(np.int64)

    def reached(self, generated: IntArray) -> IntArray:
        """The level's first number of tokens for each of these numbers, as an array of the same shape."""
        starts = self.up_to(int(generated.max(initial=0)))
        return starts[np.searchsorted(starts, generated, side="right") - 1]


@dataclass(frozen=True)
class Ranked:
    """A policy: wait by ascending `key` (ties by arrival), join while `gate` allows; stop at the first that may not.

    key: one number per request, of what Requests says and the worker's limits. **Static** (levels is None): it must
    not read generated_tokens or computed_tokens, and is taken once per request, when it comes. **Moving**: it may, and
    is taken anew whenever a request reaches another of the `levels`; between them it stands still, for it sees
    generated_tokens rounded down to the level. Tokens come only to those that run, so a kernel looks a moving key up
    when a request comes back to the queue, and where it compares the running. computed_tokens: while it runs it sees
    all of prompt and generated_tokens there, while it waits what is.
    victim: who goes when blocks run out. gives_way: where the head of the queue lacks a slot, blocks or the gate's
    leave, and would join if all who run with a worse key were gone, these are preempted, the worst first, until it can.
    Who joined in this step stays; who gave way in it, and those behind, join in a later one. So that nobody gives way
    without end, a moving key must be no worse while a request runs than while it waits: then every round of giving way
    without a token made lowers the keys of those that run.
    max_wait_s: once the oldest waiting request has waited longer it is the head of the queue whatever its key, and
    nobody passes it; so a request is passed over only during its first max_wait_s. After these it gives way to nobody.
    alpha: share of memory kept free (PROTECT). headroom: tokens (HEADROOM). beta: probability with which each running
    request is cleared (CLEAR).
    needs: what the order depends on. words: how an audit's advice names the order; empty: audits leave it out.

    Raises PolicyError outside max_wait_s >= 0, 0 <= alpha < 1, 0 < beta <= 1 and headroom >= 0.
    """

    name: str
    key: Key
    gate: Gate = Gate.OPTIMISTIC
    victim: Victim = Victim.LAST_ADMITTED
    max_wait_s: float = inf
    alpha: float = 0.0
    beta: float = 1.0
    headroom: int = 0
    levels: Levels | None = None
    gives_way: bool = False
    needs: Needs = NOTHING
    words: str = ""

    def __post_init__(self) -> None:
        for name, value, fits, accepted in (
            ("max_wait_s", self.max_wait_s, self.max_wait_s >= 0, "a number >= 0"),
            ("alpha", self.alpha, 0 <= self.alpha < 1, "0 <= alpha < 1"),
            ("beta", self.beta, 0 < self.beta <= 1, "0 < beta <= 1"),
            ("headroom", self.headroom, self.headroom >= 0, "a whole number >= 0"),
        ):
            if not fits:
                raise PolicyError(f"policy {self.name}: {name} is {value}; expected {accepted}")

    @property
    def in_arrival_order(self) -> bool:
        """Whether the key is the arrival itself, so that a queue in order of arrival is in order."""
        return self.key is arrival

    def with_headroom(self, steps: int = 15) -> "Ranked":
        """The same order behind another gate: every running request keeps room to grow for so many steps."""
        words = f"{self.words}, with room to grow for {steps} steps" if self.words else ""
        return replace(self, name=f"{self.name} + headroom", gate=Gate.HEADROOM, headroom=steps, words=words)

    def at_the_door(self, max_wait_s: float) -> "Ranked":
        """The same order for a queue before several workers: their memory is theirs to look after."""
        return replace(self, gate=Gate.OPTIMISTIC, max_wait_s=max_wait_s)

    def keys(self, requests: Requests, worker: Worker) -> FloatArray:
        """The key of each request as it stands now, float64 [n]; PolicyError unless it is one number each, not NaN."""
        if self.levels is not None:
            requests = replace(requests, generated_tokens=self.levels.reached(requests.generated_tokens))
        found = np.asarray(self.key(requests, worker), dtype=np.float64)
        if found.shape != (len(requests),) or np.isnan(found).any():
            raise PolicyError(f"policy {self.name}: its key must give one number per request, and no NaN")
        return found

    def require_static(self, requests: Requests, worker: Worker) -> None:
        """Raise PolicyError where the key moves with what these requests make, and no levels say so."""
        if self.levels is not None:
            return
        later = replace(
            requests,
            generated_tokens=requests.generated_tokens + 1,
            computed_tokens=requests.prompt_tokens + requests.generated_tokens,
        )
        if not np.array_equal(self.keys(requests, worker), self.keys(later, worker)):
            raise PolicyError(
                f"policy {self.name}: its key moves with generated_tokens or computed_tokens; expected one that "
                "does not, or levels=Levels(step), the numbers of tokens at which it is taken anew"
            )

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first, up to the first that the gate refuses.

        Where running requests give way the gate depends on who does: then all are named, and the engine holds the gate.
        """
        queue = np.argsort(self.keys(waiting, state.worker), kind="stable")
        late = state.now_s - waiting.arrival_s > self.max_wait_s
        late_first = np.concatenate([np.flatnonzero(late), queue[~late[queue]]])
        return late_first if self.gives_way else _gated(self, late_first, waiting, running, state.worker)


def arrival(requests: Requests, worker: Worker) -> FloatArray:
    """The key of first come first served."""
    return requests.arrival_s


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
    if policy.gate is Gate.PROTECT:
        return bool(np.sum(worker.blocks_of(context)) <= (1 - policy.alpha) * worker.kv_blocks)
    if policy.gate is Gate.HEADROOM:
        return bool(np.sum(worker.blocks_of(context + policy.headroom)) <= worker.kv_blocks)
    if policy.gate is Gate.RESERVE_PEAK:
        return bool(np.sum(worker.blocks_of(context + left - 1)) <= worker.kv_blocks)
    held = left + worker.async_scheduling  # steps decided a step ahead: the finished hold their blocks once more
    return all(np.sum(worker.blocks_of(context[held >= d] + d - 1)) <= worker.kv_blocks for d in np.unique(held))
