"""Two pools and the links between them in plain Python, written for reading: the reference for the compiled simulator.

Workers are the engines of `engine_twin.py`. Up to the next arrival every engine of a pool takes its decisions; then
the request goes to the worker with the fewest KV tokens held (whole blocks) and context tokens waiting, the first of
equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_twin import Engine, Step

from shadowprice.fleet.worker import Worker


class Seat:
    """One engine and where it stands in time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0.0
        self.queue: list[Step] = []
        self.coming: list[int] = []

    def pull(self) -> None:
        while self.coming and self.engine.arrival_s[self.coming[0]] <= self.now:
            self.engine.wait(self.coming.pop(0))

    def run_until(self, until: float) -> None:
        """Take every decision that falls before `until`."""
        engine = self.engine
        while True:
            self.pull()
            if not (engine.waiting or engine.running):
                if not self.coming:
                    return
                self.now = max(self.now, engine.arrival_s[self.coming[0]])
                continue
            if self.now >= until:
                return
            step = engine.schedule(self.now)
            if step.tokens:
                self.queue.append(step)
                if engine.worker.async_scheduling and len(self.queue) == 1:
                    continue
            if self.queue:
                oldest = self.queue.pop(0)
                self.now += oldest.seconds
                engine.complete(oldest, self.now)

    def tokens(self) -> int:
        engine = self.engine
        held = (engine.worker.kv_blocks - engine.free_blocks) * engine.worker.block_size
        return held + sum(engine.context(r) for _, r in engine.waiting) + sum(engine.context(r) for r in self.coming)


@dataclass
class Served:
    scheduled_s: list[float]
    first_token_s: list[float]
    finish_s: list[float]
    worker: list[int]
    preemptions: list[int]


def serve_pool(
    arrival_s: Sequence[float],
    prompt: Sequence[int],
    output: Sequence[int],
    worker: Worker,
    workers: int,
    computed: Sequence[int],
    generated: Sequence[int],
) -> Served:
    """All requests, sorted by arrival; computed and generated: what came along with them."""
    n = len(arrival_s)
    seats = []
    for _ in range(workers):
        engine = Engine(arrival_s, prompt, output, worker, lambda r, made, runs: 0.0, False, float("inf"))
        engine.computed, engine.generated = list(computed), list(generated)
        seats.append(Seat(engine))
    of = [0] * n
    for r in range(n):
        for seat in seats:
            seat.run_until(arrival_s[r])
        of[r] = min(range(workers), key=lambda g: (seats[g].tokens(), g))
        seats[of[r]].coming.append(r)
    for seat in seats:
        seat.run_until(float("inf"))
    scheduled = [float("nan")] * n
    for seat in seats:
        for step in reversed(seat.engine.steps):
            for r in step.tokens:
                scheduled[r] = step.scheduled_s
    return Served(
        scheduled,
        [seats[g].engine.first_token_s[r] for r, g in enumerate(of)],
        [seats[g].engine.finish_s[r] for r, g in enumerate(of)],
        of,
        [seats[g].engine.preemptions[r] for r, g in enumerate(of)],
    )


def send(
    finish: Sequence[tuple[float, int]], start_s: Sequence[float], worker: Sequence[int], seconds: Sequence[float],
    latency_s: float, layers: int,
) -> dict[int, float]:  # fmt: skip
    """When each KV is there: a layer goes when it is computed and the one before sent. finish: (end of prompt, id)."""
    free: dict[int, float] = {}
    ready = {}
    for end, r in sorted(finish):
        sent = free.get(worker[r], 0.0)
        for layer in range(1, layers + 1):
            computed = start_s[r] + (end - start_s[r]) * layer / layers
            sent = max(sent, computed) + seconds[r] / layers
        free[worker[r]] = sent
        ready[r] = sent + latency_s
    return ready


def serve_apart(
    arrival_s: Sequence[float], prompt: Sequence[int], output: Sequence[int], prefill: Worker, x: int, decode: Worker,
    y: int, seconds: Sequence[float] | None, latency_s: float, layers: int, first_token: str,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """First token and finish of every request [s]. seconds: of each transfer; None: there is no link."""
    n = len(arrival_s)
    first = serve_pool(arrival_s, prompt, [1] * n, prefill, x, [0] * n, [0] * n)
    going = [r for r in range(n) if first_token == "decode" or output[r] > 1]
    ended = [(first.finish_s[r], r) for r in going]
    ready = {r: end for end, r in ended}
    if seconds is not None:
        chunks = [-(-s // prefill.max_num_batched_tokens) for s in prompt]
        time = prefill.step_time
        alone = [time.fixed_s * q + time.per_prefill_token_s * s for q, s in zip(chunks, prompt, strict=True)]
        start_s = [end - computing for end, computing in zip(first.finish_s, alone, strict=True)]
        ready = send(ended, start_s, first.worker, seconds, latency_s, layers)
    going.sort(key=lambda r: ready[r])
    here = first_token == "prefill"
    second = serve_pool(
        [ready[r] for r in going], [prompt[r] for r in going], [output[r] for r in going], decode, y,
        [prompt[r] - (not here) for r in going], [int(here)] * len(going),
    )  # fmt: skip
    first_token_s, finish_s = list(first.first_token_s), list(first.finish_s)
    for i, r in enumerate(going):
        finish_s[r] = second.finish_s[i]
        if not here:
            first_token_s[r] = second.first_token_s[i]
    return first_token_s, finish_s
