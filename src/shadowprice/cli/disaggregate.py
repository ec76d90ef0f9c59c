"""`shadowprice disaggregate`: prefill and decode together or apart, by goodput per GPU."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shadowprice.cli.flags import (
    BUILT_IN_FLEET,
    BUILT_IN_TRACE,
    AsJson,
    Backend,
    BlockTokens,
    Columns,
    DropOversized,
    FleetName,
    Jobs,
    Scheduling,
    Seed,
    SkipBadRows,
    TraceName,
)

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.disaggregation import Link
    from shadowprice.fleet import Fleet

REQUESTS = 20_000
WORKERS = 8  # where neither the command nor the fleet says more than one
GIGA = 1e9

EPILOG = """Examples:

\b
shadowprice disaggregate requests.csv --fleet fleet.toml --ttft 0.5 --tpot 0.025
shadowprice disaggregate azure-2023-conv --fleet llama-3.1-70b-h100-tp4 --workers 8 --ttft 1 --tpot 0.05 --json
shadowprice disaggregate requests.csv --ttft 0.2 --tpot 0.015 --kv-bandwidth 25 --layerwise --map map.svg

Exit codes: 0 done; 1 done, and the answer is no (no design serves within the limits, or the trace is too short to
judge); 2 bad input."""


@dataclass(frozen=True)
class DisaggregateFlags:
    """What `shadowprice disaggregate` can be asked."""

    trace: TraceName = None
    fleet: FleetName = BUILT_IN_FLEET
    ttft: Annotated[float, typer.Option(help="Limit on the time to the first token [s].")] = 0.5
    tpot: Annotated[float, typer.Option(help="Limit on the mean time per further token of a request [s].")] = 0.025
    attainment: Annotated[float, typer.Option(help="Share of the requests that must be within both.")] = 0.9
    workers: Annotated[
        int | None, typer.Option(help=f"Workers to use either way; the fleet's, or {WORKERS} where that is 1.")
    ] = None
    kv_bandwidth: Annotated[
        float, typer.Option(help="GB/s out of one prefill worker, for KV; 50 is 400 Gbit/s. 0: transfers are free.")
    ] = 50.0
    kv_latency: Annotated[float, typer.Option(help="Seconds that each transfer takes on top.")] = 0.0
    kv_bytes_per_token: Annotated[
        float | None, typer.Option(help="KV bytes of a token, where the fleet does not name its model.")
    ] = None
    layerwise: Annotated[
        bool, typer.Option("--layerwise", help="Send the KV of a layer as soon as it is computed.")
    ] = False
    first_token: Annotated[
        Literal["prefill", "decode"],
        typer.Option(help="Which worker sends the first token: prefill (SGLang, Mooncake) or decode (vLLM)."),
    ] = "prefill"
    scheduling: Scheduling = "fcfs"
    map_path: Annotated[
        Path | None, typer.Option("--map", help="Also draw where splitting pays (.svg or .png); a minute or two.")
    ] = None
    drop_oversized: DropOversized = False
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    seed: Seed = 0
    jobs: Jobs = -1
    backend: Backend = "loky"
    as_json: AsJson = False


def disaggregate(asked: DisaggregateFlags) -> None:
    """Prefill and decode in the same workers or in pools of their own: goodput per GPU at the best of each.

    Both ways are optimised: the chunk size where workers do both, the ratio of the pools and the prefill chunk where
    they do not. The bound holds for any scheduling of these workers.
    """
    import numpy as np

    from shadowprice.cli.arrivals import read_arrivals, read_scheduling
    from shadowprice.cli.output import PLOTS, check_writable, show
    from shadowprice.cli.progress import bar
    from shadowprice.disaggregation import Slo
    from shadowprice.fleet import read_fleet
    from shadowprice.fleet.oversized import drop_oversized
    from shadowprice.plan import PoolsOptions, plan_pools

    check_writable(asked.map_path, PLOTS, "report")
    fleet = read_fleet(asked.fleet)
    slo = Slo(asked.ttft, asked.tpot, asked.attainment)
    workers = asked.workers if asked.workers is not None else (fleet.workers if fleet.workers > 1 else WORKERS)
    options = PoolsOptions(workers, _link(asked, fleet), asked.first_token)
    rng = np.random.default_rng(asked.seed)
    name = BUILT_IN_TRACE if asked.trace is None else asked.trace
    trace = read_arrivals(name, REQUESTS, rng, asked)
    if asked.drop_oversized:
        trace, _ = drop_oversized(trace, fleet.worker)
    policy = read_scheduling(asked.scheduling)
    with bar("comparing designs") as tick:
        found = plan_pools(trace, fleet, slo, options, policy=policy, jobs=asked.jobs, backend=asked.backend, tick=tick)
    document = found.to_json() if asked.as_json else {}
    if asked.map_path is not None:
        from shadowprice.plan.pools.map import pools_map
        from shadowprice.plan.pools.plot import write_map

        with bar("drawing the map") as tick:
            drawn = pools_map(found.setting, slo, jobs=asked.jobs, backend=asked.backend, tick=tick)
        write_map(drawn, asked.map_path)
        document["map"] = {"by_limits": drawn.by_limits.to_json(), "by_ratio": drawn.by_ratio.to_json()}
    if asked.as_json:
        print(json.dumps(document, allow_nan=False))
    else:
        show(found)
    if not found.answered:
        raise typer.Exit(1)


def _link(asked: DisaggregateFlags, fleet: "Fleet") -> "Link | None":
    """What carries KV from pool to pool; None: it is free."""
    from shadowprice.disaggregation import Link
    from shadowprice.errors import FleetError

    if asked.kv_bandwidth == 0:
        return None
    if asked.layerwise and fleet.model is None:
        raise FleetError(f"{fleet.name} names no model whose layers could be sent one by one; leave out --layerwise")
    bytes_per_token = asked.kv_bytes_per_token
    if bytes_per_token is None:
        if fleet.model is None:
            raise FleetError(
                f"{fleet.name} names no model, so the size of its KV is not known; expected --kv-bytes-per-token, or "
                "--kv-bandwidth 0 for free transfers"
            )
        bytes_per_token = fleet.model.kv_bytes_per_token(fleet.kv_cache_dtype)
    layers = fleet.model.num_hidden_layers if asked.layerwise and fleet.model is not None else 1
    return Link(bytes_per_token, asked.kv_bandwidth * GIGA, asked.kv_latency, layers)
