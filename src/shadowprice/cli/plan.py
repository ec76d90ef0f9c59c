"""`shadowprice plan`: from a trace and targets to the number of workers."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.fleet import Fleet
    from shadowprice.plan.autoscale import Autoscaled
    from shadowprice.plan.mixture import Mixture
    from shadowprice.plan.results import Plan
    from shadowprice.plan.targets import Targets
    from shadowprice.scheduling.ranked import Ranked
    from shadowprice.workload import Trace

BUILT_IN_TRACE = "azure-conv-like"
BUILT_IN_FLEET = "llama-3.1-8b-h100"
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


def plan(
    trace: Annotated[
        str | None,
        typer.Argument(
            help=f"A trace file, a public trace or a preset (shadowprice trace list); {BUILT_IN_TRACE} by default."
        ),
    ] = None,
    fleet: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A fleet file or a preset (shadowprice fleet list); {BUILT_IN_FLEET} by default. Several: the "
            "cheapest mix of them."
        ),
    ] = None,
    ttft_p99: Annotated[
        float | None, typer.Option(help="99 % of the requests get their first token within so many seconds.")
    ] = None,
    tpot_p99: Annotated[
        float | None, typer.Option(help="99 % of the requests take at most so many seconds per further token.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Rescale the arrivals to so many requests per second.")] = None,
    scheduling: Annotated[str, typer.Option(help="How each worker schedules (docs/scheduling.md).")] = "fcfs",
    routing: Annotated[str, typer.Option(help="Which worker gets a request (docs/routing.md).")] = BUILT_IN_ROUTING,
    usd_per_gpu_hour: Annotated[
        float | None, typer.Option(help="What a GPU costs; the fleet file's usd_per_hour by default.")
    ] = None,
    autoscale: Annotated[
        bool, typer.Option("--autoscale", help="Also plan workers per period, against a reactive autoscaler.")
    ] = False,
    period: Annotated[float, typer.Option(help="Seconds between changes of the planned fleet's size.")] = 900.0,
    provisioning_delay: Annotated[float, typer.Option(help="Seconds from asking for a worker to serving.")] = 300.0,
    drop_oversized: Annotated[
        bool, typer.Option("--drop-oversized", help="Leave out and count requests larger than a worker.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Drop and count rows that cannot be used.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the preset, and of arrivals in coarse steps.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes that simulate at once; -1 for all cores.")] = -1,
    backend: Annotated[str, typer.Option(help="Where they run: loky (here), ray or dask (your cluster).")] = "loky",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """How many workers serve a trace, stable and within latency targets; what binds, and what would change it.

    With no trace: a built-in one. Without targets: the least number that is stable.
    """
    from shadowprice.errors import FleetError
    from shadowprice.fleet import read_fleet
    from shadowprice.fleet.oversized import drop_oversized as drop
    from shadowprice.plan.autoscale import autoscale as run_autoscale
    from shadowprice.plan.autoscale import check_periods
    from shadowprice.plan.measure import Rules
    from shadowprice.plan.sizing.plan import plan as run_plan
    from shadowprice.plan.sizing.plan import with_price
    from shadowprice.plan.targets import Targets

    fleets = [read_fleet(name) for name in fleet or [BUILT_IN_FLEET]]
    if usd_per_gpu_hour is not None:
        fleets = [with_price(one, usd_per_gpu_hour) for one in fleets]
    targets = Targets(ttft_p99, tpot_p99)
    name = BUILT_IN_TRACE if trace is None else trace
    what_arrives = read_what_arrives(name, seed, rate, skip_bad_rows=skip_bad_rows)
    if drop_oversized:
        for one in fleets:
            what_arrives, _ = drop(what_arrives, one.worker)
    rule = read_scheduling(scheduling)
    if len(fleets) > 1:
        if autoscale or routing != BUILT_IN_ROUTING:
            raise FleetError("--autoscale and --routing plan workers of one kind; expected one --fleet")
        _mixed(what_arrives, fleets, targets, rule, as_json=as_json)
        return
    if autoscale:
        check_periods(what_arrives, period, provisioning_delay)
    scaled = None
    with _telling() as tell:
        rules = Rules(rule, routing.replace("-", "_"))
        result = run_plan(what_arrives, fleets[0], targets, rules=rules, jobs=jobs, backend=backend, tell=tell)
        if autoscale and result.impossible is None:
            scaled = run_autoscale(result.trace, fleets[0], targets, rule, period, provisioning_delay, tell=tell)
    _show(result, scaled, as_json=as_json)
    if not result.answered:
        raise typer.Exit(1)


def _show(result: "Plan | Mixture", scaled: "Autoscaled | None", *, as_json: bool) -> None:
    if as_json:
        document = result.to_json() | ({} if scaled is None else {"autoscale": scaled.to_json()})
        print(json.dumps(document, allow_nan=False))
        return
    from shadowprice.cli.output import show

    show(result, *(() if scaled is None else (scaled,)))


def _mixed(trace: "Trace", fleets: "list[Fleet]", targets: "Targets", policy: "Ranked", *, as_json: bool) -> None:
    from shadowprice.plan.mixture import plan_mixture

    with _telling() as tell:
        result = plan_mixture(trace, fleets, targets, policy, tell=tell)
    _show(result, None, as_json=as_json)
    if not result.answered:
        raise typer.Exit(1)


def read_scheduling(name: str) -> "Ranked":
    """The scheduling policy of this name. Raises PolicyError where there is none."""
    from shadowprice.errors import PolicyError
    from shadowprice.fleet.names import did_you_mean
    from shadowprice.scheduling.policies import POLICIES
    from shadowprice.scheduling.ranked import Ranked

    name = name.replace("-", "_")
    if name not in POLICIES:
        raise PolicyError(f"unknown scheduling policy {name!r}; {did_you_mean(name, POLICIES)}")
    policy = POLICIES[name]()
    if not isinstance(policy, Ranked):
        raise PolicyError(f"scheduling policy {name} serves one queue at a time; a plan needs one that ranks by a key")
    return policy


def read_what_arrives(name: str, seed: int, rate: float | None, *, skip_bad_rows: bool) -> "Trace":
    """A trace file, a public trace or a preset, at this rate. Raises TraceError where it has none to rescale."""
    from pathlib import Path

    import numpy as np

    from shadowprice.errors import TraceError
    from shadowprice.workload import PRESETS, read_trace, scale_rate

    if rate is not None and not 0 < rate < float("inf"):
        raise TraceError(f"--rate is {rate:g}; expected a number of requests per second > 0")
    if name in PRESETS and not Path(name).exists():
        trace = PRESETS[name](np.random.default_rng(seed), requests=REQUESTS, rate_per_s=rate)
    else:
        trace = read_trace(name, skip_bad_rows=skip_bad_rows, seed=seed)
    if rate is None:
        return trace
    if not 0 < trace.rate_per_s < float("inf"):
        raise TraceError(f"{trace.name}: has no rate to rescale; leave out --rate")
    return scale_rate(trace, rate / trace.rate_per_s)


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """What is being done, on stderr where that is a terminal; gone when it is done, or has failed."""
    from rich.console import Console

    with Console(stderr=True, quiet=not sys.stderr.isatty()).status("planning") as status:
        yield status.update
