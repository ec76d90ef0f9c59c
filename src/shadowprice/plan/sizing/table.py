"""The plan for the terminal."""

from math import inf

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.audit.words import load, number, percent, plural, seconds
from shadowprice.capacity.stability import ROUNDING
from shadowprice.plan.bursts import Burst
from shadowprice.plan.measure import At, Measured
from shadowprice.plan.results import Plan, binding_in_words, shown

NEAR_SATURATION = 0.9  # of the stable rate: from here on the p99 is decided by rare long queues
CHANGES = ("hbm", "compute", "bandwidth", "slots", "token_budget", "context")


@shown.register
def plan_table(plan: Plan) -> RenderableType:
    """Stability, the answer, what each size does, bursts and shadow prices."""
    return Group(
        *(Text(line) for line in _head(plan)),
        Text(""),
        *(Text(f"-> {line}", style="bold") for line in _answer(plan)),
        _sizes(plan),
        *(Text(line) for line in (*_neighbours(plan), *_bursts(plan), *_prices(plan))),
        *(Text(f"note   {note}", style="dim") for note in plan.notes),
    )


def _head(plan: Plan) -> list[str]:
    trace, fleet, found = plan.trace, plan.fleet, plan.stability
    gpu = fleet.gpu.name if fleet.gpu else "GPU"
    sure = "" if found.interval is None else f" ({number(found.interval[0])} to {number(found.interval[1])})"
    needs = "" if found.load_interval is None else " ({} to {})".format(*(load(x) for x in found.load_interval))
    return [
        f"trace  {trace.name}: {plural(len(trace), 'request')} in {number(trace.span_s)} s, "
        f"{number(trace.rate_per_s)}/s",
        f"fleet  {fleet.name}: workers of {fleet.gpus_per_worker} x {gpu}, each scheduling {plan.policies}",
        f"rate   one worker sustains {number(found.rate_max_per_s)}{sure} such requests per second at most; the trace "
        f"keeps {load(found.load_per_worker or 0)}{needs} busy",
        f"binds  {binding_in_words(plan)}",
    ]


def _answer(plan: Plan) -> list[str]:
    lines = []
    if plan.unjudged:
        lines.append(f"the trace is {plan.unjudged}; what follows is what it shows")
    stable = f"{plural(plan.workers_stable, 'worker')} ({_gpus(plan, plan.workers_stable)}) can be stable, no fewer"
    lines.append(stable)
    if plan.impossible:
        return [*lines, plan.impossible]
    if plan.targets.any:
        if plan.workers_slo is None:
            return [*lines, f"none of up to {plan.at[-1].workers:,} workers is within {_asked(plan)}"]
        text = f"{plural(plan.workers_slo, 'worker')} ({_gpus(plan, plan.workers_slo)}) for {_asked(plan)}"
        found = plan.stability
        lines.append(f"{text}: headroom {percent(found.headroom(plan.workers_slo) or 0)}")
    return lines


def _gpus(plan: Plan, workers: int) -> str:
    return plural(workers * plan.fleet.gpus_per_worker, "GPU")


def _asked(plan: Plan) -> str:
    asked = plan.targets
    parts = [("TTFT", asked.ttft_s), ("TPOT", asked.tpot_s)]
    words = " and ".join(f"{name} {seconds(target)}" for name, target in parts if target is not None)
    return f"{_p(plan)} {words}"


def _p(plan: Plan) -> str:
    return f"p{100 * plan.targets.quantile:g}"


def _sizes(plan: Plan) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    heads = ["workers", "load", f"{_p(plan)} TTFT [s]", f"{_p(plan)} TPOT [ms]"]
    heads += ["inside"] if plan.targets.any else []
    known = plan.at[0] if plan.at else None
    money = known is not None and known.cost_per_mtok.value is not None
    power = known is not None and known.energy_j_per_token.value is not None
    for head in (*heads, *(["$/Mtok"] if money else []), *(["J/tok"] if power else [])):
        table.add_column(Text(head), justify="right", no_wrap=True)  # as text: [s] is no markup
    for at in _shown(plan):
        row = [
            f"{at.workers:,}",
            load(at.load),
            _with_interval(at.ttft_s),
            _with_interval(at.tpot_s, 1e3),
        ]
        if plan.targets.any:
            row.append(percent(at.inside.value or 0))
        row += [number(at.cost_per_mtok.value or 0)] if money else []
        row += [number(at.energy_j_per_token.value or 0)] if power else []
        table.add_row(*row, style="bold" if at.workers == plan.workers else "")
    return table


def _shown(plan: Plan) -> list[At]:
    """The stable minimum, the planned size and its neighbours, and at most three others."""
    size = plan.workers or plan.workers_stable
    kept = {plan.workers_stable, size - 1, size, size + 1}
    rest = [at.workers for at in plan.at if at.workers not in kept]
    return [at for at in plan.at if at.workers in kept or at.workers in rest[:3]]


def _with_interval(found: Measured, scale: float = 1.0) -> str:
    if found.value is None:
        return "none"
    if found.interval is None:
        return number(scale * found.value)
    low, high = (number(scale * x) if x < float("inf") else "?" for x in found.interval)
    return f"{number(scale * found.value)} ({low}-{high})"


def _neighbours(plan: Plan) -> list[str]:
    """What one worker fewer and one more would do, and what the brackets above mean."""
    by_size = {at.workers: at for at in plan.at}
    lines = []
    around = (
        () if plan.workers is None else ((plan.workers - 1, "one worker fewer"), (plan.workers + 1, "one worker more"))
    )
    for size, name in around:
        at = by_size.get(size)
        if at is not None:
            unstable = "unstable, the queue grows without end; in this trace " if at.load > 1 + ROUNDING else ""
            inside = f", {percent(at.inside.value or 0)} of the requests inside the targets" if plan.targets.any else ""
            lines.append(
                f"{name}: {unstable}{_p(plan)} TTFT {seconds(at.ttft_s.value)}, TPOT {seconds(at.tpot_s.value)}{inside}"
            )
    open_end = [
        at for at in _shown(plan) for found in (at.ttft_s, at.tpot_s) if (found.interval or (0.0, 0.0))[1] == inf
    ]
    said = "95 % intervals"
    if open_end:
        said += "; ?: so short a trace sets no upper end"
    if any(NEAR_SATURATION <= at.load < 1 for at in _shown(plan)):
        said += f"; too narrow from load {load(NEAR_SATURATION)} on, where queues outlast the trace (docs/capacity.md)"
    return [f"({said})", "", *lines]


def _bursts(plan: Plan) -> list[str]:
    lines = []
    for burst, name in ((plan.doubled, "2x burst"), (plan.worst, "worst stretch")):
        if burst is not None:
            lines.append(f"{name} of {number(burst.end_s - burst.start_s)} s: {_taken(plan, burst)}")
    return lines


def _taken(plan: Plan, burst: Burst) -> str:
    text = f"load {load(burst.load)}, {_p(plan)} TTFT {seconds(burst.ttft_s.value)}, TPOT {seconds(burst.tpot_s.value)}"
    if not plan.targets.any:
        return text
    after = "not recovered when the trace ends"
    if burst.recovery_s is not None:
        after = "no time to recover" if burst.recovery_s == 0 else f"recovered after {seconds(burst.recovery_s)}"
    inside = "nobody arrives then" if burst.inside is None else f"{percent(burst.inside)} inside the targets"
    return f"{text}, {inside}, {after}"


def _prices(plan: Plan) -> list[str]:
    lines = ["", "what would change the stable rate of a worker:"]
    for name in CHANGES:
        price = plan.prices[name]
        lines.append(f"  {price.change:<36} {number(price.rate_max_per_s):>8} /s  {100 * price.gain:+.1f} %")
    return lines
