"""How many times less imbalance than FCFS-style assignment, by number of workers and slots.

`python tests/theorems/routing_growth.py` prints the table; benchmarks/routing_plots.py draws it.
"""

from collections.abc import Sequence

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import POLICIES, Compiled, bf_io
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.workload.trace import Trace

CASES = [(4, 16), (4, 64), (8, 32), (16, 16), (16, 64), (32, 32), (32, 128)]  # workers, slots
TIME = StepTime(1.0, 0.0, 1e-6, 0.0)
MEAN_OUTPUT = 50
POOL = 1024


def root(workers: int, slots: int) -> float:
    """sqrt(B log G)."""
    return float(np.sqrt(slots * np.log(workers)))


def imbalance(policy: Compiled, prompt: IntArray, output: IntArray, workers: int, slots: int) -> float:
    """Mean imbalance of a step [KV tokens], all requests waiting in a central queue."""
    trace = Trace(np.zeros(len(prompt)), prompt, output)
    run = simulate_barrier(
        trace, policy, Ranks(workers=workers, slots=slots, step_time=TIME), pool=POOL, saturated=True
    )
    return run.imbalance_tokens


def ratio(prompt: IntArray, output: IntArray, workers: int, slots: int) -> float:
    """Round robin in order of arrival over BF-IO, which here may pass over anybody, as in the theorem."""
    ours = imbalance(bf_io(most_passes=len(prompt)), prompt, output, workers, slots)
    return imbalance(POLICIES["round_robin"](), prompt, output, workers, slots) / ours


def improvement(workers: int, slots: int, seed: int = 0) -> float:
    """Independent prompts, uniform on 1..1000; geometric outputs; round robin over ours."""
    rng = np.random.default_rng(seed)
    n = 40 * workers * slots
    prompt, output = rng.integers(1, 1001, n), rng.geometric(1 / MEAN_OUTPUT, n)
    return ratio(prompt, output, workers, slots)


def growth(cases: Sequence[tuple[int, int]]) -> np.ndarray:
    """The improvement in each case."""
    return np.array([improvement(*case) for case in cases])


def adversarial(workers: int, slots: int = 8) -> float:
    """Equal outputs, so that slots free in turn, and every G-th prompt is large: round robin stacks them on one."""
    n = 40 * workers * slots
    rng = np.random.default_rng(0)
    prompt = np.where(np.arange(n) % workers == 0, 1000, 10) + rng.integers(0, 3, n)
    return ratio(prompt, np.full(n, 20), workers, slots)


if __name__ == "__main__":
    found = growth(CASES)
    for (workers, slots), factor in zip(CASES, found, strict=True):
        print(f"G={workers:3d} B={slots:4d}  sqrt(B log G)={root(workers, slots):6.2f}  improvement {factor:6.2f}")
    for workers in (4, 16):
        print(f"adversarial, G={workers}: {adversarial(workers):.1f}")
