"""Attacks on the bounds of scheduling in the engine model."""

import numpy as np

from shadowprice.errors import PolicyError
from shadowprice.fleet.work import work
from shadowprice.scheduling import POLICIES
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.scheduling.makespan_bound import makespan_bound
from shadowprice.simulate import simulate
from shadowprice.workload import Trace
from tests.attack.draw import RANKED, SCHEDULING, Draw, arrivals, worker_for
from tests.attack.search import Attack
from tests.theorems.exhaustive_engine import least_makespan, least_total_latency

CLOCK = 1e-13  # relative: what a late clock rounds away of a latency
LONGEST = {1: 6, 2: 4, 3: 2}  # tokens of a prompt or an output that the exhaustive search bears


def latency_of_the_optimum(draw: Draw) -> float | None:
    """Mean latency of one to three requests: the exhaustive optimum over the bound."""
    n = draw.whole("requests", 1, 3)
    prompt, output = (draw.wholes(name, n, 1, LONGEST[n]) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    trace = Trace(arrivals(draw, n, float(work(prompt, output, worker).alone_s.mean())), prompt, output)
    optimum_s = least_total_latency(trace, worker) / n
    bound_s = latency_bound(trace.arrival_s, prompt, output, worker, ascents=draw.pick("ascents", (1, 3, 12))).mean_s
    return (optimum_s + CLOCK * float(trace.arrival_s[-1])) / bound_s


def latency_of_policies(draw: Draw) -> float | None:
    """Mean latency of up to a dozen requests on up to three workers, any policy and any routing."""
    n = draw.whole("requests", 1, 12)
    most = draw.pick("longest", (2, 10, 60))
    prompt, output = (draw.wholes(name, n, 1, most) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    workers = draw.whole("workers", 1, 3)
    trace = Trace(arrivals(draw, n, float(work(prompt, output, worker).alone_s.mean()) / workers), prompt, output)
    given = draw.wholes("given to", n, 0, workers - 1)
    policy = POLICIES[draw.pick("policy", SCHEDULING)]()
    parts = [trace.take(np.flatnonzero(given == g)) for g in np.unique(given)]
    try:
        total_s = sum(float(simulate(part, worker, policy).e2e_s.sum()) for part in parts)
    except PolicyError:  # this policy cannot be had on such a worker
        return None
    bound_s = latency_bound(trace.arrival_s, prompt, output, worker, workers).mean_s
    return (total_s / n + CLOCK * float(trace.arrival_s[-1])) / bound_s


def makespan_of_the_optimum(draw: Draw) -> float | None:
    """Makespan of one to three requests: the exhaustive optimum over the bound."""
    n = draw.whole("requests", 1, 3)
    prompt, output = (draw.wholes(name, n, 1, LONGEST[n]) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    trace = Trace(arrivals(draw, n, float(work(prompt, output, worker).alone_s.mean())), prompt, output)
    return least_makespan(trace, worker) * (1 + CLOCK) / makespan_bound(trace.arrival_s, prompt, output, worker).seconds


def makespan_of_policies(draw: Draw) -> float | None:
    """Makespan of up to a dozen requests on up to three workers, any policy and any routing."""
    n = draw.whole("requests", 1, 12)
    most = draw.pick("longest", (2, 10, 60))
    prompt, output = (draw.wholes(name, n, 1, most) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    workers = draw.whole("workers", 1, 3)
    trace = Trace(arrivals(draw, n, float(work(prompt, output, worker).alone_s.mean()) / workers), prompt, output)
    given = draw.wholes("given to", n, 0, workers - 1)
    policy = POLICIES[draw.pick("policy", (*RANKED, "vtc"))]()
    dealt = [trace.take(np.flatnonzero(given == g)) for g in range(workers) if g in given]
    runs = [simulate(part, worker, policy) for part in dealt]
    made_s = max(float(run.finish_s.max()) for run in runs)
    return made_s * (1 + CLOCK) / makespan_bound(trace.arrival_s, prompt, output, worker, workers).seconds


ATTACKS: tuple[Attack, ...] = (
    latency_of_the_optimum,
    latency_of_policies,
    makespan_of_the_optimum,
    makespan_of_policies,
)
