"""`shadowprice bench`: measure the decisions side by side, on your traces."""

import json
from dataclasses import dataclass
from typing import Annotated

import typer

from shadowprice.cli.flags import AsJson, BlockTokens, Columns, Seed, SkipBadRows, spread

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


@dataclass(frozen=True)
class RoutingFlags:
    """What `shadowprice bench routing` can be asked."""

    traces: Annotated[list[str], typer.Argument(help="Trace files, public traces or presets (shadowprice trace list).")]
    workers: Annotated[str, typer.Option(help="Numbers of data-parallel workers, one block each.")] = "8,16,64"
    slots: Annotated[
        int | None, typer.Option(min=1, help="Requests a worker runs at once; 64, and 32 from 64 workers on.")
    ] = None
    load: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Arrivals on immediate dispatch, of what order of arrival sustains."),
    ] = 0.9
    pool: Annotated[int, typer.Option(min=1, help="How many of the oldest are offered when slots bind.")] = 64
    policies: Annotated[str | None, typer.Option(help="Only these, with commas between them; all by default.")] = None
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    seed: Seed = 0
    as_json: AsJson = False


def routing(asked: RoutingFlags) -> None:
    """Routing behind a barrier: idle share, throughput, latency and energy of every policy.

    Decode only: a step takes 20 ms and 0.1 us per KV token of the worker that holds most, and all wait for it. Two
    regimes: slots bind (a central queue that never empties) and immediate dispatch. docs/routing.md explains both.
    """
    import numpy as np

    from shadowprice.cli.arrivals import read_arrivals
    from shadowprice.cli.output import show
    from shadowprice.cli.progress import track
    from shadowprice.simulate.routing_bench import bench_routing, require_known

    counts = _counts(asked.workers)
    names = None if asked.policies is None else [name.strip().replace("-", "_") for name in asked.policies.split(",")]
    require_known(names or ())
    seed = asked.seed
    found = bench_routing(
        [read_arrivals(name, PRESET_REQUESTS, np.random.default_rng(seed), asked) for name in asked.traces],
        counts,
        slots=asked.slots,
        load=asked.load,
        pool=asked.pool,
        policies=names,
        progress=lambda rows, total: track(rows, "routing", total),
    )
    if asked.as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        show(found)


bench_app.command(epilog=EPILOG)(spread(routing))
