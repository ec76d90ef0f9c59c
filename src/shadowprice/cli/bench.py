"""`shadowprice bench`: measure the decisions side by side, on your traces."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from shadowprice.cli.flags import AsJson, Seed, SkipBadRows, spread

# imports of the library stand inside the command: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from rich.table import Table

    from shadowprice.simulate.routing_study import Row

bench_app = typer.Typer(name="bench", help="Measure policies side by side on your traces.", no_args_is_help=True)

PAPER_SAVING = "arXiv 2601.17855 reports 28 % less energy for BF-IO, in its own experiments under this power model"
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
    from shadowprice.cli.progress import track
    from shadowprice.simulate.routing_study import Setting, study

    counts, names = _counts(asked.workers), _policies(asked.policies)
    traces = [
        read_arrivals(
            name, PRESET_REQUESTS, np.random.default_rng(asked.seed), seed=asked.seed, skip_bad_rows=asked.skip_bad_rows
        )
        for name in asked.traces
    ]
    total = 2 * len(traces) * len(counts) * len(names)
    rows = study(traces, counts, slots=asked.slots, policies=names, setting=Setting(asked.load, asked.pool))
    done = list(track(rows, "routing", total))
    if asked.as_json:
        print(json.dumps({"rows": [row.to_json() for row in done]}, allow_nan=False))
    else:
        _print(done)


bench_app.command(epilog=EPILOG)(spread(routing))


def _policies(asked: str | None) -> list[str]:
    from shadowprice.errors import PolicyError
    from shadowprice.fleet.names import did_you_mean
    from shadowprice.routing.policies import POLICIES

    names = list(POLICIES) if asked is None else [name.strip().replace("-", "_") for name in asked.split(",")]
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        raise PolicyError(f"unknown routing policy {unknown[0]!r}; {did_you_mean(unknown[0], POLICIES)}")
    return names


def _print(rows: "list[Row]") -> None:
    from shadowprice.cli.output import show

    cells: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.trace, row.workers, row.regime), []).append(row)
    for cell in cells.values():
        show(_table(cell), "")
    show(f"Energy: 100 W idle, 400 W at the highest token rate, exponent 0.7. {PAPER_SAVING}.")


def _table(rows: "list[Row]") -> "Table":
    from rich.table import Table

    first = rows[0]
    base = next((row for row in rows if row.policy == "least_kv"), first)
    title = f"{first.trace}: {first.workers} workers of {first.slots} slots, {first.regime}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    heads = ("idle", "imbalance", "tokens/s", "TPOT", "TTFT p99", "J/token", f"energy vs {base.policy}", "time / bound")
    for head in (*heads, "most passed over"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        energy = row.energy_j_per_token / base.energy_j_per_token - 1
        passes = f"{row.passes} (bound {row.most_passes})" if row.most_passes is not None else f"{row.passes}"
        table.add_row(
            row.policy,
            f"{100 * row.idle_share:.2f} %",
            f"{row.imbalance_tokens:,.0f}",
            f"{row.throughput_tok_s:,.0f}",
            f"{1000 * row.tpot_s:.2f} ms",
            f"{row.ttft_p99_s:.2f} s",
            f"{row.energy_j_per_token:.4f}",
            f"{100 * energy:+.1f} %",
            f"{row.barrier_s / row.barrier_bound_s:.3f}",
            passes,
        )
    return table
