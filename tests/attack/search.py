"""The search: chunks of random draws and climbs, each reproducible by its number, over several processes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from math import inf

import numpy as np

from tests.attack.draw import Draw

Attack = Callable[[Draw], float | None]

DRAWS, CLIMBS, STEPS = 60, 2, 30  # of a chunk: random instances, how many of the worst are climbed from, steps of each
ROUNDING = 1e-9  # relative; a bound or a value may be off by so much


@dataclass(frozen=True)
class Chunk:
    """What one chunk found: instances tried, the worst value / bound, and that instance in words.

    tight: mean of bound / value over the instances drawn at random: what falls where a bound silently weakens.
    """

    attack: str
    number: int
    tried: int
    worst: float
    tight: float
    instance: str
    seconds: float

    @property
    def crossed(self) -> bool:
        """Whether the bound was crossed."""
        return self.worst < 1 - ROUNDING


def search(attack: Attack, seed: int, number: int) -> Chunk:
    """Chunk `number` of this attack: the same seed and number give the same instances."""
    started = time.perf_counter()
    rng = np.random.default_rng([seed, number, *attack.__name__.encode()])
    tried, found = 0, []
    for _ in range(DRAWS):
        draw = Draw(rng)
        ratio = attack(draw)
        if ratio is not None:
            tried += 1
            found.append((ratio, draw))
    tight = float(np.mean([1 / ratio for ratio, _ in found])) if found else 1.0
    found = sorted(found, key=lambda pair: pair[0])[:CLIMBS]
    for k, (ratio, draw) in enumerate(found):
        for _ in range(STEPS):
            other = draw.changed()
            reached = attack(other)
            if reached is None:
                continue
            tried += 1
            if reached <= ratio:
                ratio, draw = reached, other
        found[k] = (ratio, draw)
    worst, draw = min(found, key=lambda pair: pair[0], default=(inf, Draw(rng)))
    instance = ", ".join(draw.said)
    return Chunk(attack.__name__, number, tried, worst, tight, instance, time.perf_counter() - started)


def chunks(attacks: tuple[Attack, ...], seed: int, *, minutes: float, instances: int, jobs: int) -> Iterator[Chunk]:
    """Chunk after chunk until each attack has tried so many instances, or the time is over; least time spent first."""
    ends = time.monotonic() + 60 * minutes
    spent, tried, given = ({attack.__name__: 0.0 for attack in attacks} for _ in range(3))
    by_name = {attack.__name__: attack for attack in attacks}
    with ProcessPoolExecutor(jobs) as pool:
        running = set()
        while True:
            open_ = [name for name in by_name if tried[name] < instances]
            while open_ and len(running) < jobs and time.monotonic() < ends:
                name = min(open_, key=lambda name: (spent[name], given[name]))
                running.add(pool.submit(search, by_name[name], seed, int(given[name])))
                given[name] += 1
                spent[name] += 1e-3  # until it is known, so that the next is another's
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = future.result()
                spent[chunk.attack] += chunk.seconds
                tried[chunk.attack] += chunk.tried
                yield chunk
