"""Routing: which worker gets a request (docs/routing.md). Fleets of one worker have nothing to decide."""

import time

from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import FleetRun, run_fleet
from shadowprice.audit.mean_latency import WORTH_CHANGING, certificates
from shadowprice.audit.words import percent, seconds, worker_limits
from shadowprice.routing.policies import POLICIES, NamedPolicy, make
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.scheduling.policies import fcfs

TODAY = "round_robin"


def certify(case: Case) -> Finding | None:
    """Mean latency of each router before workers that serve first come first served; None for a single worker.

    The bound is that of scheduling: it holds for any router and any order inside the workers, so its gap holds what
    a better order could gain too.
    """
    if case.fleet.workers == 1:
        return None
    started = time.perf_counter()
    trace, fleet = case.trace, case.fleet
    bound = latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, fleet.workers)
    took_s = time.perf_counter() - started
    policies = {policy.name: policy for policy in map(make, POLICIES) if policy.audited}
    served = {name: run_fleet(trace, fleet, fcfs(), policy) for name, policy in policies.items()}
    best = min(served, key=lambda name: float(served[name].e2e_s.mean()))
    words = (
        "routing",
        f"{bound.method}, any router",
        f"{fleet.workers} independent replicas of vLLM V1, first come first served; {worker_limits(fleet)}",
    )
    found = certificates(
        case, served, bound.mean_s, took_s, words=words, advise=lambda name: _advice(name, policies[best], served)
    )
    return Finding("routing", case, found, TODAY, best, served)


def _advice(name: str, best: NamedPolicy, served: dict[str, FleetRun]) -> str:
    """One sentence on what to change for who runs the router `name`."""
    here, there = (float(served[policy].e2e_s.mean()) for policy in (name, best.name))
    if here <= there * (1 + WORTH_CHANGING):
        return f"Keep it: no router listed is {percent(WORTH_CHANGING)} better; the order inside the workers decides."
    return f"Route {best.words or f'by {best.name}'}: {seconds(there)} instead of {seconds(here)}."
