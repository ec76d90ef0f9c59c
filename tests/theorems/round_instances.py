"""Random instances of the round model for the theorem tests."""

import numpy as np

from shadowprice.scheduling.problem import RoundInstance


def random_instance(rng: np.random.Generator, most: int = 6, memory: tuple[int, int] = (6, 19)) -> RoundInstance:
    """2..most requests, memory in the given range; half of the instances have all arrivals at 0."""
    size, n = int(rng.integers(*memory)), int(rng.integers(2, most + 1))
    prompt = rng.integers(1, min(5, size - 1) + 1, n)
    output = rng.integers(1, size - prompt + 1)
    arrival = np.sort(rng.integers(0, 2 * n, n)) if rng.random() < 0.5 else np.zeros(n, dtype=np.int64)
    return RoundInstance(arrival, prompt, output, size)


def random_instances(count: int, seed: int, most: int = 6, memory: tuple[int, int] = (6, 19)) -> list[RoundInstance]:
    rng = np.random.default_rng(seed)
    return [random_instance(rng, most, memory) for _ in range(count)]
