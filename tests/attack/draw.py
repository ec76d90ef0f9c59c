"""Choices that an instance is made of: drawn at random, kept, and changed a little to climb."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet import StepTime, Worker

T = TypeVar("T")

# by name and in this order, so that a policy that is added changes no instance; add those whose runs are of a new kind
RANKED = (
    "fcfs", "priority", "shortest_prompt", "shortest_output", "smallest_volume", "mc_sf", "mc_benchmark",
    "protect_greedy", "protect_clearing", "priced_work",
)  # fmt: skip
SCHEDULING = (*RANKED, "vtc", "least_attained", "multi_level_feedback", "shortest_remaining_work")
ROUTING = (
    "round_robin", "random", "power_of_two", "consistent_hash", "cache_aware", "join_shortest_queue", "least_kv",
    "vllm_internal", "br_0", "bf_io", "priced_holes",
)  # fmt: skip


class Draw:
    """Numbers by name, each from one gene in [0, 1); genes that are not given are drawn. `said`: what was drawn."""

    def __init__(self, rng: np.random.Generator, genes: Sequence[float] = ()) -> None:
        self._rng = rng
        self.genes = list(genes)
        self.said: list[str] = []
        self._next = 0

    def _gene(self) -> float:
        if self._next == len(self.genes):
            self.genes.append(float(self._rng.random()))
        self._next += 1
        return self.genes[self._next - 1]

    def _say(self, name: str, value: T) -> T:
        self.said.append(f"{name}={value!r}")
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number, low and high included."""
        return self._say(name, low + int(self._gene() * (high - low + 1)))

    def wholes(self, name: str, count: int, low: int, high: int) -> IntArray:
        """`count` of them."""
        drawn = [low + int(self._gene() * (high - low + 1)) for _ in range(count)]
        return np.array(self._say(name, drawn), np.int64)

    def share(self, name: str) -> float:
        """A number in [0, 1)."""
        return self._say(name, self._gene())

    def power(self, name: str, low: float, high: float) -> float:
        """Ten to a power between low and high."""
        return self._say(name, float(10.0 ** (low + self._gene() * (high - low))))

    def pick(self, name: str, options: Sequence[T]) -> T:
        """One of these."""
        return self._say(name, options[int(self._gene() * len(options))])

    def picks(self, name: str, count: int, options: Sequence[T]) -> list[T]:
        """`count` of these, each any of them."""
        return self._say(name, [options[int(self._gene() * len(options))] for _ in range(count)])

    def maybe(self, name: str, chance: float) -> bool:
        """True with that chance."""
        return self._say(name, self._gene() < chance)

    def changed(self) -> "Draw":
        """The same choices but for one to three, drawn anew or moved a little."""
        genes = self.genes.copy()
        for i in self._rng.integers(0, len(genes), int(self._rng.integers(1, 4))):
            near = float(np.clip(genes[i] + self._rng.normal(0, 0.05), 0.0, 1 - 1e-9))
            genes[i] = near if self._rng.random() < 0.5 else float(self._rng.random())
        return Draw(self._rng, genes)


def step_time(draw: Draw) -> StepTime:
    """Coefficients over some magnitudes, some of them zero; now and then over all magnitudes."""
    extreme = draw.maybe("extreme", 0.2)
    low, high = (-9.0, 9.0) if extreme else (-3.0, 0.5)
    drawn = [draw.power(name, low, high) for name in "cabe"]
    there = [not draw.maybe(f"no {name}", 0.2) for name in "abe"]
    return StepTime(drawn[0], *(x if here else 0.0 for x, here in zip(drawn[1:], there, strict=True)))


def worker_for(draw: Draw, prompt: IntArray, output: IntArray) -> Worker:
    """A worker that holds each of these requests: memory just enough for the largest, or more."""
    block = draw.whole("block", 1, 4)
    least = int((-(-(prompt + output - 1) // block)).max())
    seqs = draw.whole("seqs", 1, len(prompt) + 1)
    return Worker(
        step_time(draw),
        max_num_seqs=seqs,
        max_num_batched_tokens=seqs + draw.pick("budget", (0, 1, 2, 5, 20, 100, 1000)),
        kv_tokens=(least + draw.pick("spare blocks", (0, 0, 1, 2, 5, 20, 1000))) * block,
        block_size=block,
        async_scheduling=draw.maybe("async", 0.5),
    )


def arrivals(draw: Draw, n: int, unit_s: float) -> FloatArray:
    """All at 0, or with gaps around a unit of time, some of them none."""
    if draw.maybe("all at 0", 0.3):
        return np.zeros(n)
    scale_s = unit_s * draw.power("gap", -2, 1.5)
    return np.cumsum(np.array(draw.picks("gaps", n, (0.0, 0.25, 1.0, 1.0, 3.0))) * scale_s)
