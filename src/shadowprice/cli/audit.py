"""`shadowprice audit`: from a trace and a fleet to certificates."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowprice.cli.flags import (
    BUILT_IN_FLEET,
    BUILT_IN_TRACE,
    AsJson,
    BlockTokens,
    Columns,
    Cost,
    DropOversized,
    FleetName,
    Redundant,
    Seed,
    SkipBadRows,
    TileRows,
    TraceName,
)

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.audit import AuditOptions
    from shadowprice.fleet import Fleet

BUILT_IN_LOAD = 1.0
REQUESTS = 10_000
EXPERT_GPUS = 8  # where the fleet has only one

EPILOG = """Examples:

\b
shadowprice audit
shadowprice audit requests.csv --fleet fleet.toml
shadowprice audit azure-2023-conv --load 0.7,0.9,1.0,1.2 --report page.html
shadowprice audit requests.csv --predict noisy:0.5 --max-wait 60 --json
shadowprice audit requests.csv --fleet fleet.toml --experts routing.npz --expert-gpus 16

Exit codes: 0 done; 1 done, and the fleet is overloaded by the trace as it runs; 2 bad input."""


@dataclass(frozen=True)
class AuditFlags:
    """What `shadowprice audit` can be asked."""

    trace: TraceName = None
    fleet: FleetName = BUILT_IN_FLEET
    load: Annotated[
        str | None,
        typer.Option(help="Rescale the arrivals to these fractions of the stable rate, one block each: 0.7,0.9,1.0."),
    ] = None
    max_wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which the last row lets nobody be passed over; by default the longest wait today."
        ),
    ] = None
    ttft: Annotated[
        float | None,
        typer.Option(
            help="Limit on the time to the first token [s]: with several workers, certify disaggregation too."
        ),
    ] = None
    tpot: Annotated[float | None, typer.Option(help="Limit on the time per further token [s], likewise.")] = None
    predict: Annotated[
        str | None,
        typer.Option(help="Forecast of output lengths: exact, median or noisy:SIGMA; the trace's own, or exact."),
    ] = None
    drop_oversized: DropOversized = False
    experts: Annotated[
        str | None,
        typer.Option(help="Expert loads, as `shadowprice experts` reads them: certify placement and dispatch too."),
    ] = None
    expert_gpus: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs that a layer's experts are spread over; the fleet's if several, else 8."),
    ] = None
    redundant: Redundant = 8
    cost: Cost = "tokens"
    tile_rows: TileRows = 64
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    seed: Seed = 0
    report: Annotated[Path | None, typer.Option(help="Write a page of tables and plots (HTML, opens offline).")] = None
    as_json: AsJson = False


def audit(asked: AuditFlags) -> None:
    """What each decision costs on a trace, what a better policy costs, and the bound that no policy can beat.

    With no trace: a built-in one at the rate the fleet can just sustain, where the queue matters.
    """
    import numpy as np

    from shadowprice.audit import audit as run_audit
    from shadowprice.audit.forecast import forecast
    from shadowprice.cli.arrivals import read_arrivals
    from shadowprice.cli.experts import recorded
    from shadowprice.cli.output import check_writable, show
    from shadowprice.cli.progress import track
    from shadowprice.fleet import read_fleet

    check_writable(asked.report, extra="report")
    loads = _loads(asked.load)
    if asked.trace is None and loads is None:
        loads = [BUILT_IN_LOAD]
    fleet = read_fleet(asked.fleet)
    rng = np.random.default_rng(asked.seed)
    name = BUILT_IN_TRACE if asked.trace is None else asked.trace
    trace = read_arrivals(name, REQUESTS, rng, asked)
    if asked.predict is not None:
        trace = forecast(trace, asked.predict, rng)
    result = run_audit(
        trace,
        fleet,
        loads,
        _options(asked, fleet),
        expert_loads=None if asked.experts is None else recorded(asked.experts, rng),
        progress=lambda todo: track(todo, "auditing"),
    )
    if asked.as_json:
        print(json.dumps(result.to_json(), allow_nan=False))
    else:
        show(result)
    if asked.report is not None:
        from shadowprice.report import write_page

        write_page(result, asked.report)
    if loads is None and result.overloaded:
        raise typer.Exit(1)


def _loads(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}; expected numbers with commas between them, for example 0.7,0.9,1.0", param_hint="--load"
        ) from None


def _options(asked: AuditFlags, fleet: "Fleet") -> "AuditOptions":
    """What was asked, checked against the fleet."""
    from shadowprice.audit import AuditOptions
    from shadowprice.disaggregation import Slo
    from shadowprice.errors import ExpertError, FleetError
    from shadowprice.experts import ExpertOptions, gemm_time_of

    limits = {name: limit for name, limit in (("ttft_s", asked.ttft), ("tpot_s", asked.tpot)) if limit is not None}
    if limits and fleet.workers < 2:
        raise FleetError(f"--ttft and --tpot certify disaggregation, which takes 2 workers or more; {fleet.name} has 1")
    if asked.expert_gpus is not None and asked.experts is None:
        raise ExpertError("--expert-gpus is given without --experts; expected both")
    if asked.cost == "seconds" and asked.experts is None:
        raise ExpertError("--cost seconds is given without --experts; expected both")
    gemm = gemm_time_of(fleet, asked.tile_rows) if asked.cost == "seconds" else None
    of_fleet = fleet.workers * fleet.gpus_per_worker
    gpus = asked.expert_gpus or (of_fleet if of_fleet > 1 else EXPERT_GPUS)
    return AuditOptions(
        max_wait_s=asked.max_wait,
        slo=Slo(**limits) if limits else None,
        drop_oversized=asked.drop_oversized,
        experts=ExpertOptions(gpus, asked.redundant, seed=asked.seed, cost=gemm),
    )
