"""Does a policy chosen from what passed come near the best one: `python benchmarks/routing_auto.py [TRACE...]`.

Ranks behind a barrier at 90 % load, dispatch on arrival: every policy alone, and `routing.auto.Auto` among them, which
begins with bf_io, on presets, on the traces that are given, and on all of them one after the other. Idle shares;
promised is that it is nowhere more than 2 % above the best single policy.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np
from promises import at_most, conclude

from shadowprice.routing.auto import Auto
from shadowprice.routing.compiled import Compiled
from shadowprice.routing.policies import POLICIES, make
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.barrier_auto import simulate_auto
from shadowprice.simulate.routing_study import SETTING, at_load, repeated, slots_of
from shadowprice.workload import PRESETS, Trace, read_trace

MADE = ("azure-conv-like", "mooncake-conversation-like", "reasoning-like", "burstgpt-like")
FIRST, TARGET = "bf_io", 1.02


def one_after_the_other(traces: list[Trace]) -> Trace:
    """All of them as one trace, without sessions and prefixes."""
    begins = np.cumsum([0.0, *(trace.span_s + SETTING.gap_s for trace in traces)])
    return Trace(
        arrival_s=np.concatenate([t.arrival_s - t.arrival_s[0] + s for t, s in zip(traces, begins, strict=False)]),
        prompt_tokens=np.concatenate([trace.prompt_tokens for trace in traces]),
        output_tokens=np.concatenate([trace.output_tokens for trace in traces]),
        name="one after the other",
    )


def ratio(trace: Trace, ranks: Ranks, candidates: list[Compiled]) -> float:
    """Print the row; the idle share of the chosen ones over that of the best single one."""
    alone = {policy.name: simulate_barrier(trace, policy, ranks).idle_share for policy in candidates}
    best = min(alone, key=lambda name: alone[name])
    auto = Auto(FIRST)
    chosen = simulate_auto(trace, auto, candidates, ranks).idle_share
    print(
        f"{ranks.workers:3} ranks  {trace.name:28} best {best:14}{100 * alone[best]:7.3f} %   {FIRST} "
        f"{100 * alone[FIRST]:7.3f} %   auto {100 * chosen:7.3f} % = {chosen / alone[best]:.3f} of the best, "
        f"{auto.evaluations} evaluations",
        flush=True,
    )
    for change in auto.changes:
        print(f"           {change}")
    return chosen / alone[best]


def main() -> int:
    """Print the rows; 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="*", help="trace files or public traces, beside the presets")
    parser.add_argument("--requests", type=int, default=30_000, help="of each preset (30,000)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[16, 64])
    args = parser.parse_args()
    made = [PRESETS[name](np.random.default_rng(0), requests=args.requests) for name in MADE]
    given = [repeated(read_trace(name, skip_bad_rows=True), 2, SETTING.gap_s) for name in args.traces]
    policies = [make(name) for name in POLICIES]
    candidates = [policy for policy in policies if isinstance(policy, Compiled) and not policy.needs.prefixes]
    worst = 0.0
    for workers in args.ranks:
        ranks = Ranks(workers, slots_of(workers))
        arriving = [replace(at_load(t, workers, ranks.slots, SETTING), name=t.name) for t in (*made, *given)]
        rows = [ratio(trace, ranks, candidates) for trace in (*arriving, one_after_the_other(arriving))]
        worst = max(worst, *rows)
    return conclude([at_most("idle share of the chosen over the best single policy, at worst", worst, TARGET)])


if __name__ == "__main__":
    sys.exit(main())
