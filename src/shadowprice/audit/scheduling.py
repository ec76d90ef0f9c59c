"""Scheduling inside the workers: in which order waiting requests join the batch (docs/scheduling.md)."""

import time

import numpy as np

from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import FleetRun, run_fleet
from shadowprice.audit.mean_latency import WORTH_CHANGING, certificates
from shadowprice.audit.words import percent, seconds, worker_limits
from shadowprice.scheduling.latency_bound import LatencyBound, latency_bound
from shadowprice.scheduling.policies import DEFAULT, POLICIES, priced_work
from shadowprice.scheduling.ranked import Ranked
from shadowprice.workload.trace import Trace

TODAY = DEFAULT


def certify(case: Case) -> Finding:
    """Mean latency of each policy on this case, and the bound that no policy and no router can beat.

    The last row is `priced_work` with a bound on waiting: the case's, or else the longest wait under `fcfs`, so that
    nobody is passed over once they have waited longer than the unluckiest does today.
    Raises RuntimeError if a simulated policy beats the bound: then one of the two is wrong, and neither to be trusted.
    """
    started = time.perf_counter()
    trace, fleet = case.trace, case.fleet
    bound = latency_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, fleet.workers)
    took_s = time.perf_counter() - started
    policies = listed(trace)
    served = {name: run_fleet(trace, fleet, policy) for name, policy in policies.items()}
    asked_s = case.options.max_wait_s
    aged = priced_work(float(served[TODAY].wait_s.max()) if asked_s is None else asked_s)
    served[aged_name(aged.max_wait_s)] = run_fleet(trace, fleet, aged)
    _require_below(bound, served, trace)
    best = min(policies, key=lambda name: float(served[name].e2e_s.mean()))
    found = certificates(
        case,
        served,
        bound.mean_s,
        took_s,
        words=("scheduling", _method(bound), _model(case)),
        advise=lambda name: _advice(name, best, policies[best].words, served, bound.mean_s),
    )
    return Finding("scheduling", case, found, TODAY, best, served, beside=aged_name(aged.max_wait_s))


def listed(trace: Trace) -> dict[str, Ranked]:
    """The registered policies that run compiled, say in words what they are, and find what they need in the trace."""
    made = ((name, make()) for name, make in POLICIES.items())
    return {name: one for name, one in made if isinstance(one, Ranked) and one.words and _finds(one, trace)}


def _finds(policy: Ranked, trace: Trace) -> bool:
    """Whether the trace has the columns that the order depends on."""
    needed = (
        (policy.needs.priorities, trace.priority),
        (policy.needs.deadlines, trace.deadline_s),
        (policy.needs.tenants, trace.tenant),
    )
    return all(column is not None for needs, column in needed if needs)


def aged_name(max_wait_s: float) -> str:
    """What the row of `priced_work` with a bound on waiting is called."""
    return f"priced_work, max wait {seconds(max_wait_s)}"


def _require_below(bound: LatencyBound, served: dict[str, FleetRun], trace: Trace) -> None:
    """Guard: a proved bound that a simulated policy beats is a defect, and must never be printed."""
    rounding_s = 1e-10 * trace.span_s  # of the simulated clock, step by step
    for name, run in served.items():
        value = float(run.e2e_s.mean())
        if bound.mean_s > value * (1 + 1e-9) + rounding_s:
            raise RuntimeError(
                f"{trace.name}: {name} reaches {value} s, below the bound of {bound.mean_s} s by {bound.method}: the "
                "bound or the simulator is wrong; please report this with the trace"
            )


def _method(bound: LatencyBound) -> str:
    names = ("slots", "memory", "token budget")
    prices = ", ".join(f"{name} {price:g}" for name, price in zip(names, bound.prices, strict=True) if price > 0)
    return bound.method if bound.method == "alone" else f"{bound.method}; shadow prices: {prices}"


def _model(case: Case) -> str:
    workers, limits = case.fleet.workers, worker_limits(case.fleet)
    routed = "1 worker" if workers == 1 else f"{workers} workers, requests dealt round robin (the bound: any router)"
    return f"vLLM V1 continuous batching without prefix cache; {limits}; {routed}; {_lengths(case.trace)}"


def _lengths(trace: Trace) -> str:
    """How well the policies know the outputs."""
    if trace.predicted_output is None or np.array_equal(trace.predicted_output, trace.output_tokens):
        return "output lengths known"
    off = np.abs(trace.predicted_output / trace.output_tokens - 1)
    return f"output lengths forecast, half of them off by more than {percent(float(np.median(off)))}"


def _advice(name: str, best: str, words: str, served: dict[str, FleetRun], bound_s: float) -> str:
    """One sentence on what to change for who runs the policy `name`."""
    here, there = (float(served[policy].e2e_s.mean()) for policy in (name, best))
    if name == list(served)[-1]:
        more = here - float(served["priced_work"].e2e_s.mean())
        than = f"{seconds(abs(more))} {'more' if more >= 0 else 'less'} than without that limit"
        return f"nobody is passed over after that wait, for a mean latency of {seconds(here)}, {than}."
    left = percent(max(1 - bound_s / there, 0.0))
    if bound_s >= here * (1 - 1e-6):
        return "Keep it: it is optimal, no policy can do better here."
    if here <= there * (1 + WORTH_CHANGING):
        return f"Keep it: nothing listed is {percent(WORTH_CHANGING)} better, and at most {left} could be gained."
    wait, wait_there = (float(served[policy].wait_s.max()) for policy in (name, best))
    but = f", but the longest wait grows from {seconds(wait)} to {seconds(wait_there)}" if wait_there > wait else ""
    return (
        f"Serve {words}: {seconds(there)} instead of {seconds(here)}{but}; at most {left} of the rest could "
        "still be gained."
    )
