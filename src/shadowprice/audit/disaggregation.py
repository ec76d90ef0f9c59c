"""Disaggregation: prefill and decode together or apart, by goodput within latency limits (docs/disaggregation.md)."""

import math
import time

from shadowprice.audit.case import Case
from shadowprice.audit.finding import Finding
from shadowprice.audit.words import number, percent, plural, seconds, worker_limits
from shadowprice.certificate import Certificate
from shadowprice.disaggregation import Link, Slo, goodput_bound
from shadowprice.fleet.fleet import Fleet
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate.pools_study import Design, Outcome, PoolsSetting, chunks, goodput

BANDWIDTH_BYTES_PER_S = 50e9  # out of one prefill worker: 400 Gbit/s
WORTH_CHANGING = 0.02


def certify(case: Case) -> Finding | None:
    """Goodput of the fleet as it is, at its best chunk size, and at its best split; None without limits, or alone.

    The goodput does not depend on the case's load: it is the highest rate of such arrivals within the limits.
    """
    fleet, slo, link = case.fleet, case.options.slo, link_of(case.fleet)
    if slo is None or fleet.workers == 1 or case.load is None or not case.last:
        return None
    setting = PoolsSetting(case.trace, fleet.worker, fleet.workers, link, fcfs())
    started = time.perf_counter()
    bound = goodput_bound(setting.problem(slo)).rate_per_s
    bound_s = time.perf_counter() - started
    best, took_s = {}, {}
    for name, designs in _ways(setting).items():
        started = time.perf_counter()
        best[name] = max((goodput(setting, slo, design) for design in designs), key=lambda found: found.rate_per_s)
        took_s[name] = time.perf_counter() - started
    winner = max(best, key=lambda name: best[name].rate_per_s)
    certificates = tuple(
        Certificate(
            decision="disaggregation",
            objective=f"highest rate with {percent(slo.attainment)} within {_asked(slo)}",
            unit="requests/s",
            sense="gain",
            policy=name,
            value=found.rate_per_s,
            bound=bound,
            bound_method="work per request, decoding priced at the TPOT limit (docs/disaggregation.md)",
            model=f"vLLM V1 without prefix cache, {_link_words(link)}; {plural(fleet.workers, 'worker')}, "
            f"{worker_limits(fleet)}",
            seconds=bound_s + took_s[name],
            load=case.load,
            advice=_advice(name, winner, best, fleet.workers),
        )
        for name, found in best.items()
    )
    return Finding("disaggregation", case, certificates, "together", winner)


def _ways(setting: PoolsSetting) -> dict[str, list[Design]]:
    """The fleet as it is, and the designs among which the best chunk size and the best split are looked for."""
    own = setting.worker.max_num_batched_tokens
    return {
        "together": [Design(0, own)],
        "best chunk": [Design(0, size) for size in chunks(setting.worker)],
        "best split": [Design(x, own) for x in range(1, setting.workers)],
    }


def _asked(slo: Slo) -> str:
    limits = (("TTFT", slo.ttft_s), ("TPOT", slo.tpot_s))
    return " and ".join(f"{name} {seconds(limit)}" for name, limit in limits if math.isfinite(limit))


def link_of(fleet: Fleet) -> Link | None:
    """400 Gbit/s out of each worker for the KV of the fleet's model; free where it names none."""
    if fleet.model is None:
        return None
    return Link(fleet.model.kv_bytes_per_token(fleet.kv_cache_dtype), BANDWIDTH_BYTES_PER_S)


def _link_words(link: Link | None) -> str:
    return "KV sent for free" if link is None else f"KV sent at {number(link.bandwidth_bytes_per_s / 1e9)} GB/s"


def _advice(name: str, winner: str, best: dict[str, Outcome], workers: int) -> str:
    """What to run instead of the design `name`."""
    here, there = best[name], best[winner]
    if there.rate_per_s <= here.rate_per_s * (1 + WORTH_CHANGING):
        return f"Keep it: no design is {percent(WORTH_CHANGING)} better."
    x = there.design.prefill_workers
    how = f"Set max_num_batched_tokens to {there.design.chunk_tokens:,}"
    if x > 0:
        how = f"Let {plural(x, 'worker')} prefill and {workers - x} decode"
    return f"{how}: {number(there.rate_per_s)} instead of {number(here.rate_per_s)} requests/s."
