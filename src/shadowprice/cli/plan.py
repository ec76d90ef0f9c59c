"""`shadowprice plan`: from a trace and targets to the number of workers."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from shadowprice.cli.flags import (
    BUILT_IN_FLEET,
    BUILT_IN_TRACE,
    AsJson,
    Backend,
    BlockTokens,
    Columns,
    DropOversized,
    Jobs,
    Scheduling,
    Seed,
    SkipBadRows,
    TraceName,
)

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.fleet import Fleet
    from shadowprice.plan.autoscale import Autoscaled
    from shadowprice.plan.batch import BatchPlan
    from shadowprice.plan.mixture import Mixture
    from shadowprice.plan.results import Plan
    from shadowprice.workload import Trace

BUILT_IN_ROUTING = "round_robin"
REQUESTS = 20_000

EPILOG = """Examples:

\b
shadowprice plan requests.csv --fleet fleet.toml
shadowprice plan azure-2023-conv --fleet llama-3.1-70b-h100-tp4 --ttft-p99 1.0 --tpot-p99 0.05
shadowprice plan azure-2023-conv --rate 40 --ttft-p99 2 --usd-per-gpu-hour 2.5 --json
shadowprice plan day.csv --ttft-p99 2 --autoscale --provisioning-delay 300
shadowprice plan day.csv --fleet h100.toml --fleet l40s.toml --ttft-p99 2

Exit codes: 0 done; 1 done, and the answer is no (impossible at any size, or the trace is too short to judge); 2 bad
input."""


@dataclass(frozen=True)
class PlanFlags:
    """What `shadowprice plan` can be asked."""

    trace: TraceName = None
    fleet: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A fleet file or a preset (shadowprice fleet list); {BUILT_IN_FLEET} by default. Several: the "
            "cheapest mix of them."
        ),
    ] = None
    ttft_p99: Annotated[
        float | None, typer.Option(help="99 % of the requests get their first token within so many seconds.")
    ] = None
    tpot_p99: Annotated[
        float | None, typer.Option(help="99 % of the requests take at most so many seconds per further token.")
    ] = None
    makespan: Annotated[
        float | None, typer.Option(help="Of a batch (all at one moment): be done within so many seconds.")
    ] = None
    rate: Annotated[float | None, typer.Option(help="Rescale the arrivals to so many requests per second.")] = None
    scheduling: Scheduling = "fcfs"
    routing: Annotated[str, typer.Option(help="Which worker gets a request (docs/routing.md).")] = BUILT_IN_ROUTING
    usd_per_gpu_hour: Annotated[
        float | None, typer.Option(help="What a GPU costs; the fleet file's usd_per_hour by default.")
    ] = None
    autoscale: Annotated[
        bool, typer.Option("--autoscale", help="Also plan workers per period, against a reactive autoscaler.")
    ] = False
    period: Annotated[float, typer.Option(help="Seconds between changes of the planned fleet's size.")] = 900.0
    provisioning_delay: Annotated[float, typer.Option(help="Seconds from asking for a worker to serving.")] = 300.0
    drop_oversized: DropOversized = False
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    seed: Seed = 0
    jobs: Jobs = -1
    backend: Backend = "loky"
    as_json: AsJson = False


def plan(asked: PlanFlags) -> None:
    """How many workers serve a trace, stable and within latency targets; what binds, and what would change it.

    With no trace: a built-in one. Without targets: the least number that is stable.
    """
    import numpy as np

    from shadowprice.cli.arrivals import read_arrivals
    from shadowprice.errors import FleetError, TraceError
    from shadowprice.fleet import read_fleet
    from shadowprice.fleet.oversized import drop_oversized
    from shadowprice.plan import with_price

    fleets = [read_fleet(name) for name in asked.fleet or [BUILT_IN_FLEET]]
    if asked.usd_per_gpu_hour is not None:
        fleets = [with_price(one, asked.usd_per_gpu_hour) for one in fleets]
    rng = np.random.default_rng(asked.seed)
    name = BUILT_IN_TRACE if asked.trace is None else asked.trace
    trace = read_arrivals(name, REQUESTS, rng, asked, rate=asked.rate)
    if asked.drop_oversized:
        for one in fleets:
            trace, _ = drop_oversized(trace, one.worker)
    if len(fleets) > 1 and (asked.autoscale or asked.routing != BUILT_IN_ROUTING):
        raise FleetError("--autoscale and --routing plan workers of one kind; expected one --fleet")
    result: BatchPlan | Mixture | Plan
    scaled: Autoscaled | None = None
    if trace.span_s == 0 and len(trace):
        result = _of_batch(asked, trace, fleets)
    elif asked.makespan is not None:
        raise TraceError(f"--makespan is for a batch; the requests of {trace.name} arrive over {trace.span_s:,.0f} s")
    elif len(fleets) > 1:
        result, scaled = _mixed(asked, trace, fleets)
    else:
        result, scaled = _of_one_kind(asked, trace, fleets[0])
    if asked.as_json:
        document = result.to_json() | ({} if scaled is None else {"autoscale": scaled.to_json()})
        print(json.dumps(document, allow_nan=False))
    else:
        from shadowprice.cli.output import show

        show(result, *(() if scaled is None else (scaled,)))
    if not result.answered:
        raise typer.Exit(1)


def _of_batch(asked: PlanFlags, trace: "Trace", fleets: "list[Fleet]") -> "BatchPlan":
    """Requests that are all there at once: when they are done."""
    from shadowprice.cli.arrivals import read_scheduling
    from shadowprice.cli.progress import telling
    from shadowprice.errors import TraceError
    from shadowprice.plan import Policies, plan_batch

    if len(fleets) > 1 or asked.autoscale or asked.ttft_p99 is not None or asked.tpot_p99 is not None:
        raise TraceError(
            f"{trace.name}: all {len(trace)} requests arrive at one moment; a batch is planned by --makespan, on one "
            "--fleet, without latency targets and without --autoscale"
        )
    policies = Policies(read_scheduling(asked.scheduling), asked.routing.replace("-", "_"))
    with telling("planning") as tell:
        return plan_batch(
            trace, fleets[0], asked.makespan, policies=policies, jobs=asked.jobs, backend=asked.backend, tell=tell
        )


def _of_one_kind(asked: PlanFlags, trace: "Trace", fleet: "Fleet") -> "tuple[Plan, Autoscaled | None]":
    """Workers of one kind, and through the day where that is asked."""
    from shadowprice.cli.arrivals import read_scheduling
    from shadowprice.cli.progress import telling
    from shadowprice.plan import AutoscaleOptions, Policies, Targets, autoscale
    from shadowprice.plan import plan as run_plan
    from shadowprice.plan.autoscale import require_periods

    policies = Policies(read_scheduling(asked.scheduling), asked.routing.replace("-", "_"))
    targets = Targets(asked.ttft_p99, asked.tpot_p99)
    periods = AutoscaleOptions(asked.period, asked.provisioning_delay) if asked.autoscale else None
    if periods is not None:
        require_periods(trace, periods)
    with telling("planning") as tell:
        result = run_plan(trace, fleet, targets, policies=policies, jobs=asked.jobs, backend=asked.backend, tell=tell)
        if periods is None or result.impossible is not None:
            return result, None
        return result, autoscale(result.trace, fleet, targets, policies.scheduling, periods, tell=tell)


def _mixed(asked: PlanFlags, trace: "Trace", fleets: "list[Fleet]") -> "tuple[Mixture, None]":
    """Workers of several kinds."""
    from shadowprice.cli.arrivals import read_scheduling
    from shadowprice.cli.progress import telling
    from shadowprice.plan import Targets, plan_mixture

    policy, targets = read_scheduling(asked.scheduling), Targets(asked.ttft_p99, asked.tpot_p99)
    with telling("planning") as tell:
        return plan_mixture(trace, fleets, targets, policy, tell=tell), None
