"""`shadowprice disaggregate`: prefill and decode together or apart, by goodput per GPU."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shadowprice.cli.plan import BUILT_IN_FLEET, BUILT_IN_TRACE

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.disaggregation import Link
    from shadowprice.fleet import Fleet

WORKERS = 8  # where neither the command nor the fleet says more than one
GIGA = 1e9

EPILOG = """Examples:

\b
shadowprice disaggregate requests.csv --fleet fleet.toml --ttft 0.5 --tpot 0.025
shadowprice disaggregate azure-2023-conv --fleet llama-3.1-70b-h100-tp4 --workers 8 --ttft 1 --tpot 0.05 --json
shadowprice disaggregate requests.csv --ttft 0.2 --tpot 0.015 --kv-bandwidth 25 --layerwise --map map.svg

Exit codes: 0 done; 1 done, and the answer is no (no design serves within the limits, or the trace is too short to
judge); 2 bad input."""


def disaggregate(
    trace: Annotated[
        str | None,
        typer.Argument(
            help=f"A trace file, a public trace or a preset (shadowprice trace list); {BUILT_IN_TRACE} by default."
        ),
    ] = None,
    fleet: Annotated[str, typer.Option(help="A fleet file or a preset (shadowprice fleet list).")] = BUILT_IN_FLEET,
    ttft: Annotated[float, typer.Option(help="Limit on the time to the first token [s].")] = 0.5,
    tpot: Annotated[float, typer.Option(help="Limit on the mean time per further token of a request [s].")] = 0.025,
    attainment: Annotated[float, typer.Option(help="Share of the requests that must be within both.")] = 0.9,
    workers: Annotated[
        int | None, typer.Option(help=f"Workers to use either way; the fleet's, or {WORKERS} where that is 1.")
    ] = None,
    kv_bandwidth: Annotated[
        float, typer.Option(help="GB/s out of one prefill worker, for KV; 50 is 400 Gbit/s. 0: transfers are free.")
    ] = 50.0,
    kv_latency: Annotated[float, typer.Option(help="Seconds that each transfer takes on top.")] = 0.0,
    kv_bytes_per_token: Annotated[
        float | None, typer.Option(help="KV bytes of a token, where the fleet does not name its model.")
    ] = None,
    layerwise: Annotated[
        bool, typer.Option("--layerwise", help="Send the KV of a layer as soon as it is computed.")
    ] = False,
    first_token: Annotated[
        Literal["prefill", "decode"],
        typer.Option(help="Which worker sends the first token: prefill (SGLang, Mooncake) or decode (vLLM)."),
    ] = "prefill",
    scheduling: Annotated[str, typer.Option(help="How each worker schedules (docs/scheduling.md).")] = "fcfs",
    map_path: Annotated[
        Path | None, typer.Option("--map", help="Also draw where splitting pays (.svg or .png); a minute or two.")
    ] = None,
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
    """Prefill and decode in the same workers or in pools of their own: goodput per GPU at the best of each.

    Both ways are optimised: the chunk size where workers do both, the ratio of the pools and the prefill chunk where
    they do not. The bound holds for any scheduling of these workers.
    """
    from shadowprice.cli.output import PLOTS, check_writable, show
    from shadowprice.cli.plan import read_scheduling, read_what_arrives
    from shadowprice.disaggregation import Slo
    from shadowprice.fleet import read_fleet
    from shadowprice.fleet.oversized import drop_oversized as drop
    from shadowprice.plan.pools.plan import plan_pools

    check_writable(map_path, PLOTS)
    serves = read_fleet(fleet)
    slo = Slo(ttft, tpot, attainment)
    count = workers if workers is not None else (serves.workers if serves.workers > 1 else WORKERS)
    link = _link(serves, kv_bandwidth, kv_latency, kv_bytes_per_token, layerwise=layerwise)
    name = BUILT_IN_TRACE if trace is None else trace
    arrives = read_what_arrives(name, seed, None, skip_bad_rows=skip_bad_rows)
    if drop_oversized:
        arrives, _ = drop(arrives, serves.worker)
    with _bar("comparing designs") as tick:
        found = plan_pools(
            arrives,
            serves,
            slo,
            workers=count,
            link=link,
            policy=read_scheduling(scheduling),
            first_token=first_token,
            jobs=jobs,
            backend=backend,
            tick=tick,
        )
    document = found.to_json() if as_json else {}
    if map_path is not None:
        from shadowprice.plan.pools.map import pools_map
        from shadowprice.plan.pools.plot import write_map

        with _bar("drawing the map") as tick:
            drawn = pools_map(found.setting, slo, jobs=jobs, backend=backend, tick=tick)
        write_map(drawn, map_path)
        document["map"] = {"by_limits": drawn.by_limits.to_json(), "by_ratio": drawn.by_ratio.to_json()}
    if as_json:
        print(json.dumps(document, allow_nan=False))
    else:
        show(found)
    if not found.answered:
        raise typer.Exit(1)


def _link(
    fleet: "Fleet", gigabytes_per_s: float, latency_s: float, bytes_per_token: float | None, *, layerwise: bool
) -> "Link | None":
    from shadowprice.disaggregation import Link
    from shadowprice.errors import FleetError

    if gigabytes_per_s == 0:
        return None
    if layerwise and fleet.model is None:
        raise FleetError(f"{fleet.name} names no model whose layers could be sent one by one; leave out --layerwise")
    if bytes_per_token is None:
        if fleet.model is None:
            raise FleetError(
                f"{fleet.name} names no model, so the size of its KV is not known; expected --kv-bytes-per-token, or "
                "--kv-bandwidth 0 for free transfers"
            )
        bytes_per_token = fleet.model.kv_bytes_per_token(fleet.kv_cache_dtype)
    layers = fleet.model.num_hidden_layers if layerwise and fleet.model is not None else 1
    return Link(bytes_per_token, gigabytes_per_s * GIGA, latency_s, layers)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; it is told how many are done, of how many."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
