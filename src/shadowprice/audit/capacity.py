"""How many requests per second the fleet sustains, by memory rule, and how far that is from the closed form."""

import time
from dataclasses import replace

import numpy as np

from shadowprice.audit.case import Case, fleet_rate_per_s
from shadowprice.audit.finding import Finding
from shadowprice.audit.words import load, number, percent, plural
from shadowprice.capacity import in_words, stability
from shadowprice.certificate import Certificate
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import DEFAULT, fcfs, mc_benchmark
from shadowprice.scheduling.ranked import Gate, Ranked
from shadowprice.simulate.engine import simulate
from shadowprice.workload.trace import Trace

TODAY, RESERVED = DEFAULT, f"{DEFAULT}, peaks reserved"
ENOUGH = 2000  # requests; a shorter trace is served several times over, so that filling and emptying count for little
WORTH_CHANGING = 0.02
ROUNDING = 1e-9  # relative: of the simulated clock, step by step


def certify(case: Case) -> Finding:
    """Largest rate that the fleet keeps up, first come first served, under three rules for admission to memory.

    All requests are there from the start, and each worker serves its share; the closed form (docs/capacity.md) is an
    upper bound on what any policy reaches then, and for ever.
    Raises RuntimeError if a rule beats it: then the bound or the simulator is wrong, and neither to be trusted.
    """
    trace, fleet = replace(case.trace, cached_tokens=None), case.fleet
    bound = fleet_rate_per_s(trace, fleet)
    rules = (fcfs(), replace(mc_benchmark(), name=RESERVED, gate=Gate.RESERVE_PEAK), mc_benchmark())
    rates, took_s = {}, {}
    for rule in rules:
        started = time.perf_counter()
        reached = fleet.workers * kept_up_per_s(trace, fleet.worker, rule)
        _require_below(reached, bound, rule.name, trace)
        rates[rule.name] = min(reached, bound)  # what is left above is rounding
        took_s[rule.name] = time.perf_counter() - started
    best = max(rates, key=lambda name: rates[name])
    worker = fleet.worker
    certificates = tuple(
        Certificate(
            decision="capacity",
            objective="largest sustained rate",
            unit="requests/s",
            sense="gain",
            policy=name,
            value=rate,
            bound=bound,
            bound_method="work per request at the price of what binds (docs/capacity.md)",
            model=f"vLLM V1 continuous batching without prefix cache; {plural(fleet.workers, 'worker')}, "
            f"{worker.kv_tokens:,} KV tokens each; all requests there from the start",
            seconds=took_s[name],
            load=case.load,
            advice=_advice(case, trace, name, best, rates),
        )
        for name, rate in rates.items()
    )
    return Finding("capacity", case, certificates, TODAY, best)


def kept_up_per_s(trace: Trace, worker: Worker, rule: Ranked) -> float:
    """Requests per second of one worker that has all of them from the start, the trace repeated where it is short."""
    times = -(-ENOUGH // len(trace))
    rows = np.tile(np.arange(len(trace)), times)
    run = simulate(trace.take(rows, np.zeros(len(rows))), worker, rule)
    return len(rows) / float(run.finish_s.max())


def _require_below(reached: float, bound: float, rule: str, trace: Trace) -> None:
    """Guard: a proved bound that a simulated rule beats is a defect, and must never be printed."""
    if reached > bound * (1 + ROUNDING):
        raise RuntimeError(
            f"{trace.name}: {rule} keeps up {reached} requests/s, above the bound of {bound}: the bound or the "
            "simulator is wrong; please report this with the trace"
        )


def _advice(case: Case, trace: Trace, name: str, best: str, rates: dict[str, float]) -> str:
    """Said of today's rule: what binds, what is left over, and how many workers it takes; of the others: the gain."""
    if name != TODAY:
        gain = rates[name] / rates[TODAY] - 1
        return f"{percent(abs(gain))} {'more' if gain >= 0 else 'less'} than today's rule."
    found = stability(trace, case.fleet.worker)
    words = in_words(found)
    said = f"{words[0].upper()}{words[1:]}."
    if case.load is not None:
        needed = plural(found.least_workers, "worker")
        left = 1 - case.load
        room = f"headroom {percent(left)}" if left >= 0 else f"{percent(-left)} more arrives than can be served"
        said += f" At load {load(case.load)}: {room}; {needed} can be stable, no fewer."
    if rates[best] > rates[TODAY] * (1 + WORTH_CHANGING):
        said += f" {number(rates[best])} instead of {number(rates[TODAY])} requests/s under {best}."
    return said
