"""A batch, all of whose requests are there at once: when it is done, and when it could be (docs/capacity.md)."""

import time

from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import run_fleet
from shadowprice.audit.mean_latency import WORTH_CHANGING
from shadowprice.audit.scheduling import TODAY, listed
from shadowprice.audit.words import number, percent, plural, seconds, worker_limits
from shadowprice.certificate import Certificate
from shadowprice.scheduling.makespan_bound import makespan_bound


def certify(case: Case) -> Finding | None:
    """Makespan of each policy on a batch, and the bound that no policy and no router can beat; None with a rate.

    Raises RuntimeError if a simulated policy beats the bound: then one of the two is wrong, and neither to be trusted.
    """
    if len(case.trace) < 2 or case.trace.span_s > 0:
        return None
    started = time.perf_counter()
    trace, fleet = case.trace, case.fleet
    bound = makespan_bound(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, fleet.worker, fleet.workers)
    bound_s = time.perf_counter() - started
    runs = {name: run_fleet(trace, fleet, policy) for name, policy in listed(trace).items()}
    made_s = {name: float((trace.arrival_s + run.e2e_s).max()) for name, run in runs.items()}
    for name, value in made_s.items():
        if bound.seconds > value * (1 + 1e-9):
            raise RuntimeError(
                f"{trace.name}: {name} is done after {value} s, before the bound of {bound.seconds} s by "
                f"{bound.method}: the bound or the simulator is wrong; please report this with the trace"
            )
    best = min(made_s, key=lambda name: made_s[name])
    outputs = int(trace.output_tokens.sum())
    routed = "" if fleet.workers == 1 else ", requests dealt round robin (the bound: any router)"
    workers = plural(fleet.workers, "worker") + routed
    certificates = tuple(
        Certificate(
            decision="makespan",
            objective="time until the whole batch is done",
            unit="s",
            sense="cost",
            policy=name,
            value=value,
            bound=bound.seconds,
            bound_method=bound.method,
            model=f"vLLM V1 continuous batching without prefix cache; {worker_limits(fleet)}; {workers}",
            seconds=bound_s + runs[name].seconds,
            advice=_advice(name, best, made_s, bound.seconds, len(trace), outputs),
        )
        for name, value in made_s.items()
    )
    return Finding("makespan", case, certificates, TODAY, best)


def _advice(name: str, best: str, made_s: dict[str, float], bound_s: float, requests: int, outputs: int) -> str:
    """What the batch takes under the policy, and what to change."""
    here, there = made_s[name], made_s[best]
    rate = f"{number(requests / here)} requests/s, {number(outputs / here)} output tokens/s"
    left = percent(max(1 - bound_s / there, 0.0))
    if here <= there * (1 + WORTH_CHANGING):
        return f"Keep it: {rate}; at most {left} of the time could be gained."
    return f"{best}: {seconds(there)} instead of {seconds(here)} ({rate}); at most {left} of the rest could be gained."
