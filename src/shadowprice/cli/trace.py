"""`shadowprice trace`: look at a trace, make one, list what is known by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shadowprice.cli.flags import AsJson, BlockTokens, Columns, SkipBadRows, spread

# imports of the library stand inside the commands: they take a second that `--help` need not wait for

trace_app = typer.Typer(
    name="trace", help="Look at a trace, make one, list what is known by name.", no_args_is_help=True
)

DEFAULT_REQUESTS = 10_000


DESCRIBE_EPILOG = """Examples:

\b
shadowprice trace describe requests.csv
shadowprice trace describe azure-2023-conv --json
shadowprice trace describe log.jsonl.gz --skip-bad-rows
shadowprice trace describe mine.csv --columns arrival=sent:ms,prompt=in,output=out"""


@dataclass(frozen=True)
class DescribeFlags:
    """What `shadowprice trace describe` can be asked."""

    file: Annotated[str, typer.Argument(help="A trace file, or the name of a public trace (shadowprice trace list).")]
    as_json: AsJson = False
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    spread_buckets: Annotated[
        bool, typer.Option(help="Spread arrivals inside coarse time steps, or keep them as bursts.")
    ] = True
    seed: Annotated[int, typer.Option(min=0, help="Seed of the spread.")] = 0


def describe(asked: DescribeFlags) -> None:
    """Rate, burstiness, lengths and prefix reuse of a trace."""
    from rich.table import Table

    from shadowprice.cli.arrivals import read_file
    from shadowprice.cli.output import show
    from shadowprice.workload import describe as statistics_of

    trace = read_file(asked.file, asked, spread_buckets=asked.spread_buckets)
    statistics = statistics_of(trace)
    if asked.as_json:
        print(json.dumps(statistics.to_json()))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in statistics.rows():
        table.add_row(name, text)
    show(table)


trace_app.command(epilog=DESCRIBE_EPILOG)(spread(describe))


@trace_app.command(
    epilog="Examples:\n\n\b\nshadowprice trace make azure-conv-like\n"
    "shadowprice trace make reasoning-like --duration 600 --rate 4 --seed 7 -o day.parquet"
)
def make(
    preset: Annotated[str, typer.Argument(help="A preset (shadowprice trace list).")],
    requests: Annotated[int | None, typer.Option(min=1, help="How many; 10000 where no duration is given.")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop at this many seconds.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second; the source's where not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same trace.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .csv, .jsonl (+ .gz, .zst) or .parquet file; PRESET.csv.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic trace with the published shape of a public one."""
    import numpy as np

    from shadowprice.errors import TraceError
    from shadowprice.fleet.names import did_you_mean
    from shadowprice.workload import PRESETS, write_trace
    from shadowprice.workload import describe as statistics_of

    if preset not in PRESETS:
        raise TraceError(f"unknown preset {preset!r}; {did_you_mean(preset, PRESETS)}")
    if requests is None and duration is None:
        requests = DEFAULT_REQUESTS
    rng = np.random.default_rng(seed)
    trace = PRESETS[preset](rng, requests=requests, duration_s=duration, rate_per_s=rate)
    path = output or Path(f"{preset}.csv")
    write_trace(trace, path)
    if as_json:
        print(json.dumps({"file": str(path)} | statistics_of(trace).to_json()))
    else:
        print(f"{path}: {len(trace):,} requests, {trace.rate_per_s:.3f} per second")


@trace_app.command("list", epilog="Example: shadowprice trace list --json")
def list_names(as_json: AsJson = False) -> None:
    """Presets for `make`, and public traces that can stand in for a file."""
    from rich.table import Table

    from shadowprice.cli.output import show
    from shadowprice.workload import PRESETS, PUBLIC_TRACES

    presets = {name: (preset.__doc__ or "").split("\n")[0] for name, preset in PRESETS.items()}
    if as_json:
        public = {name: vars(trace) for name, trace in PUBLIC_TRACES.items()}
        print(json.dumps({"presets": presets, "public_traces": public}))
        return
    made = Table("preset (made here)", "what", box=None, pad_edge=False)
    for name, summary in presets.items():
        made.add_row(name, summary)
    public_traces = Table("public trace (downloaded once)", "source", "licence", box=None, pad_edge=False)
    for name, trace in PUBLIC_TRACES.items():
        public_traces.add_row(name, trace.source, trace.licence)
    show(made, "", public_traces)
