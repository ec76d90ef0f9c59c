"""The barrier simulator under a policy that is chosen anew from what passed, as the live router chooses it.

While the run goes on, the requests that finished last are served again by every candidate, each in a simulation of its
own, and `routing.auto.Auto` takes the idle shares as their costs. A policy that takes over has seen nothing before.
"""

from collections.abc import Sequence
from math import nan

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.routing._learn_kernel import learn_from
from shadowprice.routing._trace_tables import tables_of
from shadowprice.routing.auto import Auto
from shadowprice.routing.compiled import Compiled
from shadowprice.simulate import _barrier_state as kernel
from shadowprice.simulate._barrier_kernel import advance
from shadowprice.simulate._barrier_run import BarrierRun, result
from shadowprice.simulate.barrier import RANKS, Ranks, first_tables, model_of
from shadowprice.workload.trace import Trace

KEPT = 8000  # requests
COMPLETE = 0.9  # of the latencies
LEFT = 0.3  # of the time from the first finish to the last, at least


def simulate_auto(
    trace: Trace,
    auto: Auto,
    candidates: Sequence[Compiled],
    ranks: Ranks = RANKS,
    *,
    every_s: float = 30.0,
    kept: int = KEPT,
) -> BarrierRun:
    """Serve the trace, routed on arrival by the candidate of whose name `auto.active` is; `auto` holds what it did.

    Every every_s seconds, where half of the `kept` requests that finished last are new, they are scored.
    """
    known = {policy.name: policy for policy in candidates}
    rule, requests, memory = tables_of(trace, known[auto.active], ranks.workers)
    for policy in candidates:  # hashes of sessions, whoever needs them
        if policy.needs.keys:
            requests["key"] = tables_of(trace, policy, ranks.workers)[1]["key"]
    tables, model = first_tables(trace, requests, ranks, None, 0), model_of(ranks, central=False, saturated=False)
    answer = np.full(len(trace), -1, np.int64)
    until_s, scored = float(trace.arrival_s[0]) + every_s, 0
    while advance(model, tables, rule, memory, answer, False, False, until_s) != kernel.DONE:
        until_s = float(tables.run["now_s"][0]) + every_s
        done = np.flatnonzero(requests["finish_s"] > 0)
        if len(done) - scored < kept // 2:
            continue
        last = np.sort(done[np.argsort(requests["finish_s"][done])][-kept:])
        costs = idle_shares(trace.take(last), requests["finish_s"][last], candidates, ranks)
        scored = len(done) if costs else scored
        if costs and auto.take(costs) is not None:
            rule, _, memory = tables_of(trace, known[auto.active], ranks.workers)
            if rule.learns:
                learn_from(memory.learned, trace.prompt_tokens[last], trace.output_tokens[last])
    return result(trace, tables, model)


def idle_shares(trace: Trace, finish_s: FloatArray, policies: Sequence[Compiled], ranks: Ranks) -> dict[str, float]:
    """What each policy would have had the ranks idle while these requests, the last to finish, were served.

    Who finished between two moments is everybody who arrived between them, but for those who came last: so the share is
    taken up to COMPLETE of the latencies before the last finish. The first half of the time fills the ranks, and is
    what a policy that learns learns from. Nothing is said where too little is left.
    """
    start_s, end_s = float(finish_s.min()), float(finish_s.max())
    end_s -= float(np.quantile(finish_s - trace.arrival_s, COMPLETE))
    if end_s - start_s < LEFT * (finish_s.max() - start_s):
        return {}
    middle_s = (start_s + end_s) / 2
    return {policy.name: _idle_share(trace, policy, ranks, middle_s, end_s) for policy in policies}


def _idle_share(trace: Trace, policy: Compiled, ranks: Ranks, from_s: float, to_s: float) -> float:
    rule, requests, memory = tables_of(trace, policy, ranks.workers)
    if policy.needs.outputs:
        learn_from(memory.learned, trace.prompt_tokens, trace.output_tokens)
    tables, model = first_tables(trace, requests, ranks, None, 0), model_of(ranks, central=False, saturated=False)
    answer = np.full(len(trace), -1, np.int64)
    idle_s, barrier_s = [], []
    for until_s in (from_s, to_s):
        advance(model, tables, rule, memory, answer, False, False, until_s)
        idle_s.append(float(tables.run["idle_s"][0]))
        barrier_s.append(float(tables.run["barrier_s"][0]))
    passed_s = ranks.workers * (barrier_s[1] - barrier_s[0])
    return (idle_s[1] - idle_s[0]) / passed_s if passed_s > 0 else nan
