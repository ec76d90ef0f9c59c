"""Tries to break the guarantee of the Virtual Token Counter, watching every decision of real runs."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Requests, SchedulingPolicy, WorkerState, vtc
from shadowprice.simulate import simulate
from shadowprice.workload import Trace

STEP = StepTime(6e-3, 1e-5, 4e-8, 2e-5)


@dataclass
class Watched:
    """A policy that notes at each decision what each tenant was served, and whether it waits.

    reserve: cut its answer where the peaks of all that run would not fit in memory together.
    """

    policy: SchedulingPolicy
    tenants: int
    reserve: bool = False
    prompts: list[np.ndarray] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    waits: list[np.ndarray] = field(default_factory=list)

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> np.ndarray:
        self.prompts.append(state.served.prompt_tokens)
        self.outputs.append(state.served.output_tokens)
        self.waits.append(np.bincount(waiting.tenant, minlength=self.tenants) > 0)
        order = self.policy.order(waiting, running, state)
        if not self.reserve:
            return order
        held = np.sum(peak(running))
        return order[held + np.cumsum(peak(waiting)[order]) <= state.worker.kv_tokens]


def peak(requests: Requests) -> np.ndarray:
    return requests.prompt_tokens + requests.predicted_output - 1


def worst_difference(seen: Watched, w_in: float, w_out: float) -> float:
    """The largest difference in service of two tenants over any interval of decisions at which both always wait."""
    service = w_in * np.array(seen.prompts) + w_out * np.array(seen.outputs)
    waits = np.array(seen.waits)
    worst = 0.0
    for f in range(seen.tenants):
        for g in range(f):
            both = np.flatnonzero(waits[:, f] & waits[:, g])
            for run in np.split(both, np.flatnonzero(np.diff(both) > 1) + 1):
                if len(run):
                    ahead = service[run, f] - service[run, g]
                    worst = max(worst, float(np.ptp(ahead)))
    return worst


def instance(seed: int, tenants: int) -> Trace:
    """Tenants that differ in everything: rate, bursts, lengths; some come late, pause and return."""
    rng = np.random.default_rng(seed)
    arrival, prompt, output, tenant = [], [], [], []
    for t in range(tenants):
        n = int(rng.integers(20, 120))
        gaps = rng.exponential(rng.choice([0.0005, 0.01, 0.05]), n) * (rng.random(n) < rng.choice([0.1, 1.0]))
        gaps[rng.integers(0, n, 2)] += rng.choice([0.0, 0.5, 2.0])
        arrival.append(rng.choice([0.0, 0.7]) + np.cumsum(gaps))
        prompt.append(rng.integers(1, rng.choice([5, 60, 200]) + 1, n))
        output.append(rng.integers(1, rng.choice([3, 30, 80]) + 1, n))
        tenant.append(np.full(n, t))
    order = np.argsort(np.concatenate(arrival), kind="stable")
    columns = (np.concatenate(column)[order] for column in (arrival, prompt, output, tenant))
    arrival_s, prompts, outputs, codes = columns
    return Trace(arrival_s, prompts, outputs, tenant=codes)


WEIGHTS = [(1.0, 2.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (3.0, 1.0)]


@pytest.mark.parametrize("reserve", [False, True])
def test_service_of_two_who_wait_differs_by_at_most_twice_u(reserve: bool) -> None:
    checked, tight, unfair = 0, 0.0, 0.0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tenants = int(rng.integers(2, 5))
        trace = instance(seed, tenants)
        w_in, w_out = WEIGHTS[seed % len(WEIGHTS)]
        longest = int((trace.prompt_tokens + trace.output_tokens).max())
        worker = Worker(
            STEP,
            max_num_seqs=int(rng.choice([1, 2, 6, 20])),
            max_num_batched_tokens=int(rng.choice([32, 100, 4000])),
            kv_tokens=longest + int(rng.integers(0, 400)) if reserve else 100_000,
            block_size=1,
            async_scheduling=bool(rng.random() < 0.5),
        )
        seen = Watched(vtc(w_in, w_out), tenants, reserve)
        run = simulate(trace, worker, seen)
        if run.preemptions.sum():
            continue  # the theorem does not speak of preemption
        checked += 1
        output = worker.max_num_seqs * int(trace.output_tokens.max())
        if reserve:
            output = min(output, worker.kv_tokens)
        u = w_in * int(trace.prompt_tokens.max()) + w_out * output
        worst = worst_difference(seen, w_in, w_out)
        assert worst <= 2 * u, seed
        tight = max(tight, worst / (2 * u))
        if reserve and w_in <= w_out:
            published = 2 * max(w_in * int(trace.prompt_tokens.max()), w_out * (worker.kv_tokens + 1))
            assert worst <= published, seed
        first = Watched(POLICIES["fcfs"](), tenants, reserve)
        simulate(trace, worker, first)
        unfair = max(unfair, worst_difference(first, w_in, w_out) / (2 * u))
    assert checked > 45
    assert tight > 0.3  # the bound is not vacuous,
    assert unfair > 1  # and first come first served breaks it
