"""One pair of policies on the whole fleet: who gets a request, and who joins a worker's batch."""

import time
from dataclasses import dataclass

from shadowprice.arrays import FloatArray
from shadowprice.fleet.fleet import Fleet
from shadowprice.routing.policies import round_robin
from shadowprice.routing.surface import RoutingPolicy
from shadowprice.scheduling.ranked import Ranked
from shadowprice.simulate.cluster import simulate_cluster
from shadowprice.simulate.engine import EngineRun, simulate
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class FleetRun:
    """What the policies did to each request of the trace, in the trace's order [s], and the run of each
    worker that had any.

    wait_s: arrival to first admission. ttft_s: arrival to first token. e2e_s: arrival to last token. preemptions: in
    all. seconds: time that the simulation took.
    """

    wait_s: FloatArray
    ttft_s: FloatArray
    e2e_s: FloatArray
    preemptions: int
    runs: tuple[EngineRun, ...]
    seconds: float


def run_fleet(trace: Trace, fleet: Fleet, scheduling: Ranked, routing: RoutingPolicy | None = None) -> FleetRun:
    """Simulate the trace on the fleet's workers as independent replicas; routed round robin where nothing is said."""
    started = time.perf_counter()
    if fleet.workers == 1:
        served = simulate(trace, fleet.worker, scheduling)
        runs: tuple[EngineRun, ...] = (served,)
    else:
        chosen = routing if routing is not None else round_robin()
        cluster = simulate_cluster(trace, fleet.worker, fleet.workers, scheduling, chosen)
        served, runs = cluster.served, tuple(engine for engine in cluster.engines if engine.steps)
    return FleetRun(
        wait_s=served.scheduled_s - trace.arrival_s,
        ttft_s=served.ttft_s,
        e2e_s=served.e2e_s,
        preemptions=int(served.preemptions.sum()),
        runs=runs,
        seconds=time.perf_counter() - started,
    )
