"""`shadowprice audit`: from a trace and a fleet to certificates."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    import numpy as np

    from shadowprice.audit import Experts
    from shadowprice.fleet import Fleet
    from shadowprice.workload import Trace

T = TypeVar("T")

BUILT_IN_TRACE = "azure-conv-like"
BUILT_IN_FLEET = "llama-3.1-8b-h100"
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


def _loads(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}; expected numbers with commas between them, for example 0.7,0.9,1.0", param_hint="--load"
        ) from None


def audit(
    trace: Annotated[
        str | None,
        typer.Argument(
            help=f"A trace file, a public trace or a preset (shadowprice trace list); {BUILT_IN_TRACE} by default."
        ),
    ] = None,
    fleet: Annotated[str, typer.Option(help="A fleet file or a preset (shadowprice fleet list).")] = BUILT_IN_FLEET,
    load: Annotated[
        str | None,
        typer.Option(help="Rescale the arrivals to these fractions of the stable rate, one block each: 0.7,0.9,1.0."),
    ] = None,
    max_wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which the last row lets nobody be passed over; by default the longest wait today."
        ),
    ] = None,
    ttft: Annotated[
        float | None,
        typer.Option(
            help="Limit on the time to the first token [s]: with several workers, certify disaggregation too."
        ),
    ] = None,
    tpot: Annotated[float | None, typer.Option(help="Limit on the time per further token [s], likewise.")] = None,
    predict: Annotated[
        str | None,
        typer.Option(help="Forecast of output lengths: exact, median or noisy:SIGMA; the trace's own, or exact."),
    ] = None,
    drop_oversized: Annotated[
        bool, typer.Option("--drop-oversized", help="Leave out and count requests larger than a worker.")
    ] = False,
    experts: Annotated[
        str | None,
        typer.Option(help="Expert loads, as `shadowprice experts` reads them: certify placement and dispatch too."),
    ] = None,
    expert_gpus: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs that a layer's experts are spread over; the fleet's if several, else 8."),
    ] = None,
    redundant: Annotated[int, typer.Option(min=0, help="Replicas more than experts, per layer.")] = 8,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Drop and count rows that cannot be used.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the preset, of noisy forecasts, of arrivals in coarse steps.")
    ] = 0,
    report: Annotated[Path | None, typer.Option(help="Write a page of tables and plots (HTML, opens offline).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """What each decision costs on a trace, what a better policy costs, and the bound that no policy can beat.

    With no trace: a built-in one at the rate the fleet can just sustain, where the queue matters.
    """
    import numpy as np

    from shadowprice.audit import audit as run_audit
    from shadowprice.audit.forecast import forecast
    from shadowprice.cli.output import check_writable, show
    from shadowprice.disaggregation import Slo
    from shadowprice.errors import ExpertError, FleetError
    from shadowprice.fleet import read_fleet

    check_writable(report, extra="report")
    loads = _loads(load)
    if trace is None and loads is None:
        loads = [BUILT_IN_LOAD]
    what_serves = read_fleet(fleet)
    rng = np.random.default_rng(seed)
    what_arrives = _trace(BUILT_IN_TRACE if trace is None else trace, rng, seed, skip_bad_rows=skip_bad_rows)
    if predict is not None:
        what_arrives = forecast(what_arrives, predict, rng)
    on_experts = None if experts is None else _experts(experts, rng, expert_gpus, redundant, what_serves, seed)
    limits = {name: limit for name, limit in (("ttft_s", ttft), ("tpot_s", tpot)) if limit is not None}
    slo = Slo(**limits) if limits else None
    if slo is not None and what_serves.workers < 2:
        raise FleetError(
            f"--ttft and --tpot certify disaggregation, which takes 2 workers or more; {what_serves.name} has 1"
        )
    if expert_gpus is not None and experts is None:
        raise ExpertError("--expert-gpus is given without --experts; expected both")
    result = run_audit(
        what_arrives,
        what_serves,
        loads,
        max_wait_s=max_wait,
        slo=slo,
        drop=drop_oversized,
        experts=on_experts,
        progress=_progress,
    )
    if as_json:
        print(json.dumps(result.to_json(), allow_nan=False))
    else:
        show(result)
    if report is not None:
        from shadowprice.report import write_page

        write_page(result, report)
    if loads is None and result.overloaded:
        raise typer.Exit(1)


def _trace(name: str, rng: "np.random.Generator", seed: int, *, skip_bad_rows: bool) -> "Trace":
    from shadowprice.workload import PRESETS, read_trace

    if name in PRESETS and not Path(name).exists():
        return PRESETS[name](rng, requests=REQUESTS)
    return read_trace(name, skip_bad_rows=skip_bad_rows, seed=seed)


def _experts(
    source: str, rng: "np.random.Generator", gpus: int | None, redundant: int, fleet: "Fleet", seed: int
) -> "Experts":
    from shadowprice.audit import Experts
    from shadowprice.cli.experts import recorded

    of_fleet = fleet.workers * fleet.gpus_per_worker
    spread = gpus if gpus is not None else of_fleet if of_fleet > 1 else EXPERT_GPUS
    return Experts(recorded(source, rng), spread, redundant, seed=seed)


def _progress(todo: Sequence[T]) -> Iterable[T]:
    """A bar on stderr while the audit runs, where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(todo, "auditing", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
