"""One policy on the whole fleet: every worker simulated on its own, the requests put together again."""

import time
from dataclasses import dataclass

import numpy as np

from shadowprice.fleet.fleet import Fleet
from shadowprice.scheduling.surface import FloatArray, SchedulingPolicy
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class Served:
    """What a policy did to each request of the trace, in the trace's order [s], and each worker's run.

    wait_s: arrival to first admission. ttft_s: arrival to first token. e2e_s: arrival to last token. preemptions: in
    all. seconds: time that the simulation took.
    """

    wait_s: FloatArray
    ttft_s: FloatArray
    e2e_s: FloatArray
    preemptions: int
    runs: tuple[EngineRun, ...]
    seconds: float


def serve(trace: Trace, fleet: Fleet, policy: SchedulingPolicy) -> Served:
    """Simulate the trace on all workers of the fleet; request i goes to worker i modulo their number."""
    started = time.perf_counter()
    wait_s, ttft_s, e2e_s = (np.empty(len(trace)) for _ in range(3))
    runs = []
    for first in range(min(fleet.workers, len(trace))):
        rows = np.arange(first, len(trace), fleet.workers)
        run = simulate(trace if fleet.workers == 1 else trace.take(rows), fleet.worker, policy)
        wait_s[rows] = run.scheduled_s - run.trace.arrival_s
        ttft_s[rows], e2e_s[rows] = run.ttft_s, run.e2e_s
        runs.append(run)
    preemptions = sum(int(run.preemptions.sum()) for run in runs)
    return Served(wait_s, ttft_s, e2e_s, preemptions, tuple(runs), time.perf_counter() - started)
