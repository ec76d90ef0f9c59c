"""The compiled Virtual Token Counter against its twin, decision by decision, preemptions included."""

from dataclasses import dataclass

import numpy as np
import pytest
from fairness_twin import Twin

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import Requests, VirtualTokenCounter, WorkerState, vtc
from shadowprice.simulate import simulate
from shadowprice.workload import Trace


@dataclass
class Both:
    """Asks both, and counts the decisions."""

    policy: VirtualTokenCounter
    twin: Twin
    decisions: int = 0

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> np.ndarray:
        self.decisions += 1
        order = self.policy.order(waiting, running, state)
        assert order.tolist() == self.twin.order(waiting, running, state)
        return order


@pytest.mark.parametrize("seed", range(30))
def test_compiled_counters_decide_as_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 120
    arrival = np.sort(np.round(rng.uniform(0, rng.choice([0.0, 1.0, 5.0]), n), 2))
    trace = Trace(
        arrival,
        rng.integers(1, rng.choice([4, 200]) + 1, n),
        rng.integers(1, 60, n),
        tenant=rng.choice([-7, 0, 3, 2**62], n) if seed % 3 else np.sort(rng.integers(0, 5, n)),
    )
    worker = Worker(
        StepTime(6e-3, 1e-5, 4e-8, 2e-5),
        max_num_seqs=int(rng.choice([1, 4, 16])),
        max_num_batched_tokens=int(rng.choice([32, 4000])),
        kv_tokens=int(rng.choice([272, 800, 100_000])),
        async_scheduling=bool(rng.random() < 0.5),
    )
    # whole weights: sums in any order give the same bits
    w_in, w_out = float(rng.integers(0, 3)), float(rng.integers(0, 3))
    both = Both(vtc(w_in, w_out), Twin(w_in, w_out))
    simulate(trace, worker, both)
    assert both.decisions > 5
