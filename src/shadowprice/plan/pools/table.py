"""Together or apart, for the terminal."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.audit.words import number, percent, plural, seconds
from shadowprice.disaggregation import pays_by_tpot
from shadowprice.plan.results import PoolsPlan, shown
from shadowprice.simulate.pools_study import Outcome

WORTH_CHANGING = 0.02
OTHERS = 2  # shown of each way beside the best


@shown.register
def pools_table(plan: PoolsPlan) -> RenderableType:
    """What was asked, the advice, the best designs of both ways, and the bound."""
    return Group(
        *(Text(line) for line in _head(plan)),
        Text(""),
        *(Text(f"-> {line}", style="bold") for line in advice(plan)),
        _designs(plan),
        *(Text(line) for line in _foot(plan)),
        *(Text(f"note   {note}", style="dim") for note in plan.notes),
    )


def advice(plan: PoolsPlan) -> list[str]:
    """What to run, in plain words."""
    said = []
    if plan.unjudged:
        said.append(f"the trace is {plan.unjudged}; what follows is what it shows")
    if not plan.bound.rate_per_s > 0:
        said.append(
            f"impossible at any rate, because {percent(plan.bound.out_of_reach)} of the requests miss {_asked(plan)} "
            "even when each has a worker to itself"
        )
        return said
    together, apart = plan.best_together, plan.best_apart
    if max(together.rate_per_s, apart.rate_per_s) == 0:
        return [*said, f"no design that was tried serves {_share(plan)} of the requests within {_asked(plan)}"]
    if plan.gain > WORTH_CHANGING:
        said.append(f"split: {_roles(plan, apart)} {_over(plan.gain, 'the best chunk size')}")
    else:
        more = "no split serves at all" if apart.rate_per_s == 0 else _against(together.rate_per_s, apart.rate_per_s)
        said.append(
            f"keep prefill and decode together, max_num_batched_tokens {together.design.chunk_tokens:,}: {more}"
        )
    said.append(_why(plan))
    return said


def _over(gain: float, what: str) -> str:
    if math.isinf(gain):
        return f"serve within the SLO; {what} does not"
    return f"serve {percent(gain)} more than {what}"


def _against(ours: float, theirs: float) -> str:
    gain = ours / theirs - 1
    if gain <= WORTH_CHANGING:
        return f"the best split is not {percent(WORTH_CHANGING)} better, and costs the transfer"
    return f"{percent(gain)} more than the best split"


def _why(plan: PoolsPlan) -> str:
    """What the condition says (`disaggregation/fluid.py`), in words."""
    limits, split, together = plan.slo, plan.split.rate_per_s, plan.setting.workers * plan.rates.together_per_s
    if plan.gain <= WORTH_CHANGING:
        return (
            f"a split is stable up to {number(split)}/s, sharing the same workers up to {number(together)}/s, and the "
            "limits do not cost sharing more than that"
        )
    if math.isinf(limits.tpot_s) or not pays_by_tpot(plan.setting.problem(limits)):
        return "together, prompts wait for the steps of others: apart, more of them get their first token in time"
    time, most = plan.setting.worker.step_time, plan.setting.worker.max_num_batched_tokens
    step = seconds(time.fixed_s + time.per_prefill_token_s * most)
    return (
        f"the TPOT limit of {seconds(limits.tpot_s)} is shorter than a full prefill step ({step} for {most:,} tokens): "
        "together, prompts must ride in short steps and pay their fixed cost; apart, only decoding does"
    )


def _head(plan: PoolsPlan) -> list[str]:
    trace, fleet, setting = plan.setting.trace, plan.fleet, plan.setting
    gpu = fleet.gpu.name if fleet.gpu else "GPU"
    link = "free transfer" if setting.link is None else _link(plan)
    return [
        f"trace  {trace.name}: {plural(len(trace), 'request')}, mean {number(float(trace.prompt_tokens.mean()))} "
        f"prompt and {number(float(trace.output_tokens.mean()))} output tokens, at any rate",
        f"fleet  {fleet.name}: {plural(setting.workers, 'worker')} of {fleet.gpus_per_worker} x {gpu}, "
        f"{setting.policy.name}; {link}",
        f"asked  {_share(plan)} of the requests within {_asked(plan)}",
    ]


def _link(plan: PoolsPlan) -> str:
    link = plan.setting.link
    assert link is not None
    mean_s = float(link.transfer_s(plan.setting.trace.prompt_tokens).mean())
    how = "after the prompt" if link.layers == 1 else f"layer by layer ({link.layers})"
    return f"KV at {number(link.bandwidth_bytes_per_s / 1e9)} GB/s per worker {how}, {seconds(mean_s)} per request"


def _share(plan: PoolsPlan) -> str:
    return percent(plan.slo.attainment)


def _asked(plan: PoolsPlan) -> str:
    limits = (("TTFT", plan.slo.ttft_s), ("TPOT", plan.slo.tpot_s))
    return " and ".join(f"{name} {seconds(limit)}" for name, limit in limits if math.isfinite(limit)) or "no limit"


def _roles(plan: PoolsPlan, found: Outcome) -> str:
    x, chunk = found.design.prefill_workers, found.design.chunk_tokens
    return f"{x} prefill (max_num_batched_tokens {chunk:,}) and {plan.setting.workers - x} decode workers"


def _designs(plan: PoolsPlan) -> RenderableType:
    quantile = f"p{100 * plan.slo.attainment:g}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("design", no_wrap=True)
    for head in ("chunk", "goodput/s", "per GPU", "gap", f"{quantile} TTFT", f"{quantile} TPOT"):
        table.add_column(head, justify="right", no_wrap=True)
    best = max(plan.best_together, plan.best_apart, key=lambda found: found.rate_per_s)
    for outcomes in (plan.together, plan.apart):
        ranked = sorted(outcomes, key=lambda found: -found.rate_per_s)
        for found in _distinct(ranked)[: 1 + OTHERS]:
            table.add_row(*_row(plan, found), style="bold" if found is best else "")
    bound = plan.bound.rate_per_s
    table.add_row("any: bound", "", number(bound), number(bound / plan.gpus), "", "", "")
    return table


def _distinct(ranked: list[Outcome]) -> list[Outcome]:
    """The best chunk size of each split; together, every chunk size."""
    seen: dict[object, Outcome] = {}
    for found in ranked:
        x = found.design.prefill_workers
        seen.setdefault(x if x else found.design, found)
    return list(seen.values())


def _row(plan: PoolsPlan, found: Outcome) -> list[str]:
    x = found.design.prefill_workers
    name = "together" if x == 0 else f"{x} prefill, {plan.setting.workers - x} decode"
    gap = percent(1 - found.rate_per_s / plan.bound.rate_per_s) if 0 < plan.bound.rate_per_s < math.inf else ""
    return [
        name,
        f"{found.design.chunk_tokens:,}",
        number(found.rate_per_s),
        number(found.rate_per_s / plan.gpus),
        gap,
        "" if found.ttft_s is None else seconds(found.ttft_s),
        "" if found.tpot_s is None else seconds(found.tpot_s),
    ]


def _foot(plan: PoolsPlan) -> list[str]:
    split, rates = plan.split, plan.rates
    expected = plan.expected
    x = expected.best_prefill_workers
    best = max(expected.apart_per_s)
    return [
        "goodput: highest rate at which so many meet both limits; bound: that no use of these workers beats",
        f"by the means: {split.prefill_workers} prefill and {split.decode_workers} decode workers are stable up to "
        f"{number(split.rate_per_s)}/s, together up to {number(plan.setting.workers * rates.together_per_s)}/s",
        f"by the formulas: {number(expected.together_per_s)}/s together, {number(best)}/s "
        f"{'at the best split' if x == 0 else f'with {x} prefill workers'}",
    ]
