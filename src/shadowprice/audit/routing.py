"""Routing: which worker gets a request (docs/routing.md). Fleets of one worker have nothing to decide."""

import time

from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import FleetRun, run_fleet
from shadowprice.audit.words import percent, seconds, worker_limits
from shadowprice.certificate import Certificate
from shadowprice.routing.policies import make
from shadowprice.scheduling.latency_bound import latency_bound
from shadowprice.scheduling.policies import fcfs

TODAY = "round_robin"
WORDS = {
    "round_robin": "in turn",
    "random": "to any worker",
    "power_of_two": "to the less busy of two workers",
    "join_shortest_queue": "to the worker with the fewest requests",
    "vllm_internal": "as vLLM's data-parallel balancer does",
    "least_kv": "to the worker with the fewest KV tokens",
    "priced_holes": "by priced holes",
}
WORTH_CHANGING = 0.02  # a smaller share of the mean latency is not worth a change of policy


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
    bound_s = time.perf_counter() - started
    served = {name: run_fleet(trace, fleet, fcfs(), make(name)) for name in WORDS}
    best = min(WORDS, key=lambda name: float(served[name].e2e_s.mean()))
    certificates = tuple(
        Certificate(
            decision="routing",
            objective="mean end-to-end latency",
            unit="s",
            sense="cost",
            policy=name,
            value=float(run.e2e_s.mean()),
            bound=bound.mean_s,
            bound_method=f"{bound.method}, any router",
            model=f"{fleet.workers} independent replicas of vLLM V1, first come first served; {worker_limits(fleet)}",
            seconds=bound_s + run.seconds,
            load=case.load,
            advice=_advice(name, best, served),
        )
        for name, run in served.items()
    )
    return Finding("routing", case, certificates, TODAY, best, served)


def _advice(name: str, best: str, served: dict[str, FleetRun]) -> str:
    """One sentence on what to change for who runs the router `name`."""
    here, there = (float(served[policy].e2e_s.mean()) for policy in (name, best))
    if here <= there * (1 + WORTH_CHANGING):
        return f"Keep it: no router listed is {percent(WORTH_CHANGING)} better; the order inside the workers decides."
    return f"Route {WORDS[best]}: {seconds(there)} instead of {seconds(here)}."
