"""`shadowprice bench`: measure the decisions side by side, on your traces."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# imports of the library stand inside the command: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.simulate.routing_study import Row
    from shadowprice.workload import Trace

bench_app = typer.Typer(name="bench", help="Measure policies side by side on your traces.", no_args_is_help=True)

PRESET_REQUESTS = 20_000

EPILOG = """Examples:

\b
shadowprice bench routing azure-2023-conv
shadowprice bench routing requests.csv mooncake.jsonl --workers 8,16,64 --json > rows.json
shadowprice bench routing reasoning-like --workers 16 --slots 128 --load 0.8 --policies least_kv,priced_holes

Exit codes: 0 done; 2 bad input."""


@bench_app.callback()
def bench() -> None:
    """Measure policies side by side on your traces."""


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(
            f"{text!r}; expected whole numbers >= 1 with commas between them: 8,16,64", param_hint="--workers"
        )
    return counts


@bench_app.command(epilog=EPILOG)
def routing(
    traces: Annotated[
        list[str], typer.Argument(help="Trace files, public traces or presets (shadowprice trace list).")
    ],
    workers: Annotated[str, typer.Option(help="Numbers of data-parallel workers, one block each.")] = "8,16,64",
    slots: Annotated[
        int | None, typer.Option(min=1, help="Requests a worker runs at once; 64, and 32 from 64 workers on.")
    ] = None,
    load: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Arrivals on immediate dispatch, of what order of arrival sustains."),
    ] = 0.9,
    pool: Annotated[int, typer.Option(min=1, help="How many of the oldest are offered when slots bind.")] = 64,
    policies: Annotated[str | None, typer.Option(help="Only these, with commas between them; all by default.")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Drop and count rows that cannot be used.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of presets, and of arrivals in coarse steps.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Routing behind a barrier: idle share, throughput, latency and energy of every policy.

    Decode only: a step takes 20 ms and 0.1 us per KV token of the worker that holds most, and all wait for it. Two
    regimes: slots bind (a central queue that never empties) and immediate dispatch. docs/routing.md explains both.
    """
    from shadowprice.cli.output import show
    from shadowprice.simulate.routing_bench import bench_routing, require_known

    counts = _counts(workers)
    names = None if policies is None else [name.strip().replace("-", "_") for name in policies.split(",")]
    require_known(names or ())
    found = bench_routing(
        [_trace(name, seed, skip_bad_rows=skip_bad_rows) for name in traces],
        counts,
        slots=slots,
        load=load,
        pool=pool,
        policies=names,
        progress=_progress,
    )
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        show(found)


def _trace(name: str, seed: int, *, skip_bad_rows: bool) -> "Trace":
    import numpy as np

    from shadowprice.workload import PRESETS, read_trace

    if name in PRESETS and not Path(name).exists():
        return PRESETS[name](np.random.default_rng(seed), requests=PRESET_REQUESTS)
    return read_trace(name, skip_bad_rows=skip_bad_rows, seed=seed)


def _progress(rows: "Iterable[Row]", total: int) -> "Iterable[Row]":
    """A bar on stderr where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    return track(rows, "routing", total=total, console=Console(stderr=True), transient=True, disable=quiet)
