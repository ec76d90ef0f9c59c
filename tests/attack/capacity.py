"""Attacks on stable rates, least workers, the least cost of mixed kinds, and what no number of workers reaches."""

from dataclasses import replace

import numpy as np

from shadowprice.capacity import stability
from shadowprice.capacity.mix import cheapest_mix
from shadowprice.capacity.stability import charges_s
from shadowprice.errors import PolicyError
from shadowprice.fleet.work import binding_prices, stable_rate_per_s, work
from shadowprice.fleet.worker import Worker
from shadowprice.plan.targets import alone
from shadowprice.scheduling.policies import POLICIES, fcfs, mc_benchmark
from shadowprice.scheduling.ranked import Gate
from shadowprice.simulate import simulate
from shadowprice.workload import Trace
from tests.attack.draw import SCHEDULING, Draw, arrivals, worker_for
from tests.attack.search import Attack
from tests.theorems.random_schedule import busy_time_s

GATES = tuple(Gate)


def stable_rate(draw: Draw) -> float | None:
    """Requests all there from the start take at least the time that the stable rate says, under any policy and gate."""
    n = draw.whole("law", 1, 3)
    most = draw.pick("longest", (2, 10, 60))
    prompt, output = (draw.wholes(name, n, 1, most) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    rows = np.tile(np.arange(n), draw.pick("copies", (1, 2, 10, 40)))
    policy = replace(mc_benchmark(), gate=draw.pick("gate", GATES))
    makespan_s = float(simulate(Trace(np.zeros(len(rows)), prompt[rows], output[rows]), worker, policy).finish_s.max())
    return makespan_s * stable_rate_per_s(work(prompt, output, worker)) / len(rows)


def stable_rate_with_cached_prefixes(draw: Draw) -> float | None:
    """Seconds of steps of any schedule, chunks and preemptions and all, over the charges of its requests."""
    n = draw.whole("requests", 1, 5)
    prompt, output = draw.wholes("prompt", n, 1, 12), draw.wholes("output", n, 1, 6)
    cached = np.array([int(draw.share("cached") * s) for s in prompt]) * draw.maybe("any cached", 0.8)
    worker = worker_for(draw, prompt, output)
    needs = work(prompt, output, worker, cached)
    busy_s = busy_time_s(prompt, output, cached, worker, np.random.default_rng(draw.whole("schedule", 0, 99)))
    return busy_s / float(needs.charge_s(binding_prices(needs)).sum())


def least_workers(draw: Draw) -> float | None:
    """One worker fewer than can be stable, at loads exactly whole too: the longest latency must grow from part to part.

    Equal requests at equal distances, dealt in turn: what few workers serve steadily can be served for ever.
    """
    prompt, output = draw.wholes("prompt", 1, 1, 30), draw.wholes("output", 1, 1, 10)
    worker = worker_for(draw, prompt, output)
    wanted = draw.whole("whole load", 1, 3) + draw.pick("beyond", (0.0, 0.0, 0.2, 0.5))
    charge_s = 1 / stable_rate_per_s(work(prompt, output, worker))
    n = 600
    trace = Trace(np.arange(n) * (charge_s / wanted), np.repeat(prompt, n), np.repeat(output, n))
    fewer = stability(trace, worker).least_workers - 1
    if fewer == 0:
        return None
    latency_s = np.zeros(n)
    for g in range(fewer):
        latency_s[g::fewer] = simulate(trace.take(np.arange(g, n, fewer)), worker, fcfs()).e2e_s
    early_s, late_s = latency_s[: n // 2].max(), latency_s[n // 2 :].max()
    return float(late_s / early_s) / (1 + 1e-6)


def mixed_kinds(draw: Draw) -> float | None:
    """A fleet that costs less than the bound serves a trace, all there from the start, in more time than it spans."""
    n, kinds = draw.whole("law", 1, 3), draw.whole("kinds", 1, 3)
    prompt, output = draw.wholes("prompt", n, 1, 30), draw.wholes("output", n, 1, 10)
    workers: list[Worker] = []
    for t in range(kinds):
        fitting = slice(0, n) if t == 0 else slice(0, draw.whole("holds", 1, n))  # the others hold a part of them
        workers.append(worker_for(draw, prompt[fitting], output[fitting]))
    prices = [draw.whole("price", 1, 10) / 2 for _ in range(kinds)]
    span_s = n * draw.pick("span", (0.2, 0.25, 0.5, 1.0, 2.0)) / stable_rate_per_s(work(prompt, output, workers[0]))
    law = Trace(np.arange(n) * (span_s / n), prompt, output)
    if n == 1:
        law = Trace(np.array([0.0, span_s]), np.repeat(prompt, 2), np.repeat(output, 2))
    bound = cheapest_mix(law, workers, prices).bound
    fleet = draw.wholes("fleet", kinds, 0, 4)
    if fleet @ np.array(prices) >= bound - 1e-6:
        return None
    copies = 30
    period_s = len(law) / law.rate_per_s
    peak = law.prompt_tokens + law.output_tokens - 1
    given: list[list[list[int]]] = [[[] for _ in range(count)] for count in fleet]
    for i in range(len(law)):
        share = np.array([draw.share("to kind") for _ in range(kinds)])
        share *= [peak[i] <= worker.kv_blocks * worker.block_size for worker in workers]
        share *= fleet > 0
        if share.sum() == 0:
            return None  # nobody holds it: it is never served
        edges = np.cumsum(share / share.sum())
        for turn in (np.arange(copies) + 0.5) / copies:
            t = int(np.searchsorted(edges, turn))
            min(given[t], key=len).append(i)
    longest_s = max(
        float(simulate(law.take(rows, np.zeros(len(rows))), worker, fcfs()).finish_s.max())
        for worker, lots in zip(workers, given, strict=True)
        for rows in lots
        if rows
    )
    return longest_s / (copies * period_s)


def alone_in_a_worker(draw: Draw) -> float | None:
    """TTFT and TPOT of every request under any policy, over those that say what is impossible at any size."""
    n = draw.whole("requests", 1, 8)
    most = draw.pick("longest", (2, 10, 60))
    prompt, output = (draw.wholes(name, n, 1, most) for name in ("prompt", "output"))
    worker = worker_for(draw, prompt, output)
    scale_s = float(work(prompt, output, worker).alone_s.mean())
    trace = Trace(arrivals(draw, n, scale_s), prompt, output)
    try:
        run = simulate(trace, worker, POLICIES[draw.pick("policy", SCHEDULING)]())
    except PolicyError:  # this policy cannot be had on such a worker
        return None
    ttft_s, tpot_s = alone(trace, worker)
    clock_s = 1e-12 * float(run.finish_s.max())
    several = output > 1
    ratios = [(run.ttft_s + clock_s) / ttft_s, (run.tpot_s[several] + clock_s) / tpot_s[several]]
    return float(np.concatenate(ratios).min())


def worker_hours(draw: Draw) -> float | None:
    """Seconds of steps of several workers over the charged work, which no way to size a fleet undercuts."""
    n = draw.whole("requests", 1, 20)
    prompt, output = draw.wholes("prompt", n, 1, 40), draw.wholes("output", n, 1, 12)
    worker = worker_for(draw, prompt, output)
    trace = Trace(arrivals(draw, n, float(work(prompt, output, worker).alone_s.mean())), prompt, output)
    given = draw.wholes("given to", n, 0, draw.whole("workers", 0, 2))
    parts = [trace.take(np.flatnonzero(given == g)) for g in np.unique(given)]
    return sum(simulate(part, worker, fcfs()).busy_s for part in parts) / float(charges_s(trace, worker).sum())


ATTACKS: tuple[Attack, ...] = (
    stable_rate,
    stable_rate_with_cached_prefixes,
    least_workers,
    mixed_kinds,
    alone_in_a_worker,
    worker_hours,
)
