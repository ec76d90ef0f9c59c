"""One continuous-batching worker in plain Python, written for reading: the reference for the compiled simulator.

The rules are those of vLLM's V1 scheduler for text requests without prefix caching. In each step:

1. The running get their tokens in order of admission, while the token budget lasts: one for a request that decodes,
   a chunk for one that still computes its prompt (or, after a preemption, its prompt and what it had generated).
   Whoever lacks a KV block preempts somebody, again and again until the blocks suffice. Who preempts itself ends this
   phase: those behind it sit out the step. A preempted request keeps its tokens, loses its KV and waits again.
2. If nobody was preempted, the waiting join in order while slots and tokens last, each only if the blocks of all its
   present tokens are free, of which it takes those of its first chunk. The first that does not fit ends the phase.
   With `gives_way`, which vLLM does not have, the running whose key is worse than that one's are preempted for it, the
   worst first, if that makes it fit; it then joins, and who went, and those behind it, are left for the next step.
3. The step runs. Who has all its tokens computed gets one more; who has all its output leaves and frees its blocks.

With `asynchronous` each step is scheduled when the step before it starts (vLLM's default): arrivals and freed
blocks are then noticed one step later.
"""

import math
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shadowprice.fleet.worker import Worker


@dataclass
class Step:
    """One call of the scheduler: when, who computes how many tokens, who gets a token by it, who was preempted."""

    scheduled_s: float
    seconds: float = 0.0
    tokens: dict[int, int] = field(default_factory=dict)
    sampled: set[int] = field(default_factory=set)
    preempted: list[int] = field(default_factory=list)


@dataclass
class Engine:
    """The worker and its requests; lists of length n are per request, `running` is in order of admission."""

    arrival_s: Sequence[float]
    prompt: Sequence[int]
    output: Sequence[int]
    worker: Worker
    key: Callable[
        [int, int, bool], float
    ]  # of a request that has made so much, and runs or waits; the smallest is first
    preempt_worst_key: bool  # vLLM's priority policy; otherwise the last admitted is preempted
    max_wait_s: float  # who has waited longer than this since its arrival goes in front
    gives_way: bool = False

    def __post_init__(self) -> None:
        n = len(self.arrival_s)
        self.generated = [0] * n
        self.in_flight = [0] * n  # tokens that a scheduled step will bring
        self.computed = [0] * n  # tokens whose KV is, or is being, computed
        self.blocks = [0] * n
        self.first_token_s = [math.nan] * n
        self.finish_s = [math.nan] * n
        self.preemptions = [0] * n
        self.free_blocks = self.worker.kv_blocks
        self.waiting: list[tuple[float, int]] = []
        self.running: list[int] = []
        self.steps: list[Step] = []

    def context(self, r: int) -> int:
        """Tokens of r that are known or will be when the steps already scheduled are done."""
        return self.prompt[r] + self.generated[r] + self.in_flight[r]

    def blocks_for(self, tokens: int) -> int:
        kept = self.worker.kept
        if kept is None or tokens == 0:
            return -(-tokens // self.worker.block_size)
        held = kept.constant + kept.per_token * tokens + kept.per_window_token * min(tokens, kept.window)
        return math.ceil(held / self.worker.block_size - 1e-9)

    def read_by(self, tokens: int) -> float:
        """KV tokens that a decode step reads of a context of so many."""
        read = self.worker.read
        if read is None:
            return tokens
        return read.constant + read.per_token * tokens + read.per_window_token * min(tokens, read.window)

    def hold(self, r: int, tokens: int) -> bool:
        """Let r hold the blocks of its first `tokens` tokens, if they are free."""
        more = self.blocks_for(tokens) - self.blocks[r]
        if more > self.free_blocks:
            return False
        self.free_blocks -= more
        self.blocks[r] += more
        return True

    def release(self, r: int) -> None:
        self.free_blocks += self.blocks[r]
        self.blocks[r] = 0

    def rank(self, r: int, runs: bool) -> tuple[float, int]:
        """What it is compared by."""
        return self.key(r, self.generated[r] + self.in_flight[r], runs), r

    def wait(self, r: int) -> None:
        insort(self.waiting, self.rank(r, False))

    def victim(self) -> int:
        return max(self.running, key=lambda r: self.rank(r, True)) if self.preempt_worst_key else self.running[-1]

    def preempt(self, step: Step, victim: int) -> tuple[int, int]:
        """Take its KV away. Returns its place among the running and the tokens it gives back in this step."""
        place = self.running.index(victim)
        del self.running[place]
        self.release(victim)
        self.computed[victim] = 0
        self.preemptions[victim] += 1
        self.wait(victim)
        step.preempted.append(victim)
        return place, step.tokens.pop(victim, 0)

    def schedule_running(self, step: Step) -> int:
        """Phase 1. Returns the token budget that is left."""
        budget = self.worker.max_num_batched_tokens
        i = 0
        while i < len(self.running) and budget > 0:
            r = self.running[i]
            if self.in_flight[r] and self.generated[r] + self.in_flight[r] == self.output[r]:
                i += 1  # its last token is on the way; it keeps its blocks until then
                continue
            tokens = min(self.context(r) - self.computed[r], budget)
            while not self.hold(r, self.computed[r] + tokens):
                place, given_back = self.preempt(step, self.victim())
                budget += given_back
                if place == i:
                    return budget
                if place < i:
                    i -= 1
            step.tokens[r] = tokens
            budget -= tokens
            i += 1
        return budget

    def next_in_queue(self, now: float) -> tuple[float, int]:
        oldest = min(self.waiting, key=lambda entry: entry[1])
        return oldest if self.late(oldest[1], now) else self.waiting[0]

    def late(self, r: int, now: float) -> bool:
        return now - self.arrival_s[r] > self.max_wait_s

    def fits(self, r: int, without: Sequence[int] = ()) -> bool:
        """A slot and the blocks of all its tokens are free, or would be without these."""
        free = self.free_blocks + sum(self.blocks[other] for other in without)
        slots = self.worker.max_num_seqs - len(self.running) + len(without)
        return slots > 0 and self.blocks_for(self.context(r)) <= free

    def spare(self, head: tuple[float, int], joined: Sequence[int], now: float) -> list[int]:
        """Who runs and would give way to the head of the queue."""
        return [
            r
            for r in self.running
            if r not in joined
            and head < self.rank(r, True)
            and not self.late(r, now)
            and self.generated[r] + self.in_flight[r] < self.output[r]
        ]

    def behind(self, r: int) -> tuple[float, int]:
        return next(entry for entry in self.waiting if entry[1] == r)

    def schedule_waiting(self, step: Step, budget: int) -> None:
        """Phase 2."""
        gone: list[int] = []
        joined: list[int] = []
        while self.waiting and budget > 0:
            entry = self.next_in_queue(step.scheduled_s)
            r = entry[1]
            if gone and (r in gone or (entry > min(map(self.behind, gone)) and not self.late(r, step.scheduled_s))):
                return
            if not self.fits(r):
                spare = self.spare(entry, joined, step.scheduled_s) if self.gives_way else []
                if not self.fits(r, spare):
                    return
                while not self.fits(r):
                    gone.append(max(spare, key=lambda r: self.rank(r, True)))
                    spare.remove(gone[-1])
                    budget += self.preempt(step, gone[-1])[1]
            tokens = min(self.context(r) - self.computed[r], budget)  # some may be computed elsewhere
            self.hold(r, self.computed[r] + tokens)
            self.waiting.remove(entry)
            self.running.append(r)
            joined.append(r)
            step.tokens[r] = tokens
            budget -= tokens

    def schedule(self, now: float) -> Step:
        """Decide one step and count its tokens as computed."""
        step = Step(scheduled_s=now)
        budget = self.schedule_running(step)
        if not step.preempted:
            self.schedule_waiting(step, budget)
        decoding = [r for r in step.tokens if self.generated[r] + self.in_flight[r] > 0 and self.lacks_one(r)]
        kv_tokens = sum(self.read_by(self.context(r)) for r in decoding)
        prefill = sum(step.tokens.values()) - len(decoding)
        if step.tokens:  # a step in which nobody computes runs no model and takes no time
            step.seconds = self.worker.step_time.seconds(len(decoding), kv_tokens, prefill)
        for r, tokens in step.tokens.items():
            self.computed[r] += tokens
            if self.computed[r] == self.context(r):
                step.sampled.add(r)
        for r in step.sampled:
            self.in_flight[r] += 1
        self.steps.append(step)
        return step

    def lacks_one(self, r: int) -> bool:
        """All KV of r is there but that of its newest token."""
        return self.computed[r] == self.context(r) - 1

    def complete(self, step: Step, now: float) -> None:
        """Phase 3, at the end of the step."""
        for r in step.sampled:
            self.in_flight[r] -= 1
            self.generated[r] += 1
            if self.generated[r] == 1:
                self.first_token_s[r] = now
            if self.generated[r] == self.output[r]:
                self.finish_s[r] = now
                self.release(r)
                if r in self.running:
                    self.running.remove(r)
                else:  # preempted while its last token was on the way
                    self.waiting.remove(self.behind(r))


def run_engine(
    arrival_s: Sequence[float],
    prompt_tokens: Sequence[int],
    output_tokens: Sequence[int],
    worker: Worker,
    key: Callable[[int, int, bool], float] | None = None,
    preempt_worst_key: bool = False,
    asynchronous: bool = False,
    max_wait_s: float = math.inf,
    gives_way: bool = False,
) -> Engine:
    """Serve all requests (sorted by arrival) and return the engine with its step log and per-request times [s]."""
    n = len(arrival_s)
    ranks = key if key is not None else lambda r, made, runs: 0.0
    engine = Engine(arrival_s, prompt_tokens, output_tokens, worker, ranks, preempt_worst_key, max_wait_s, gives_way)
    now = 0.0
    arrived = 0
    queue: list[Step] = []  # scheduled, not yet complete
    while arrived < n or engine.waiting or engine.running:
        if not (engine.waiting or engine.running):
            now = max(now, arrival_s[arrived])
        while arrived < n and arrival_s[arrived] <= now:
            engine.wait(arrived)
            arrived += 1
        step = engine.schedule(now)
        if step.tokens:
            queue.append(step)
            if asynchronous and len(queue) == 1:
                continue
        if queue:
            oldest = queue.pop(0)
            now += oldest.seconds
            engine.complete(oldest, now)
    return engine
