"""`shadowprice cache`: which prefix blocks to keep, by what a miss costs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowprice.cli.flags import BUILT_IN_FLEET, AsJson, BlockTokens, Columns, FleetName, Seed, SkipBadRows

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    from shadowprice.caching.study import CacheStudy

UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4, "KB": 10**3, "MB": 10**6, "GB": 10**9}

EPILOG = """Examples:

\b
shadowprice cache mooncake-conversation --fleet llama-3.1-8b-h100
shadowprice cache requests.jsonl --fleet fleet.toml --size 30GiB --size 200GiB --policy lru --policy experts
shadowprice cache sessions.csv --sizes 0.5%,1%,10% --sessions-per-hour 40 --plot savings.svg --json

Exit codes: 0 done; 2 bad input."""


@dataclass(frozen=True)
class CacheFlags:
    """What `shadowprice cache` can be asked."""

    trace: Annotated[str, typer.Argument(help="A trace with hashes of prompt blocks, or sessions with cached tokens.")]
    fleet: FleetName = BUILT_IN_FLEET
    size: Annotated[list[str] | None, typer.Option(help="Size of the cache, like 30GiB. Repeatable.")] = None
    sizes: Annotated[str | None, typer.Option(help="Sizes as shares of the footprint, like 0.5%,1%,10%.")] = None
    policy: Annotated[list[str] | None, typer.Option(help="Policy to run (docs/caching.md). Repeatable.")] = None
    sessions_per_hour: Annotated[
        float | None, typer.Option(help="Give each session a start of its own, at random, at this rate.")
    ] = None
    plot: Annotated[Path | None, typer.Option(help="Draw savings against size (.svg, .png or .pdf).")] = None
    columns: Columns = None
    block_tokens: BlockTokens = None
    skip_bad_rows: SkipBadRows = False
    seed: Seed = 0
    as_json: AsJson = False


def cache(asked: CacheFlags) -> None:
    """What a prefix cache saves: seconds of prefill by policy and size, the bound, and what one more GiB is worth."""
    import numpy as np

    from shadowprice.caching.study import SHARES, compare_policies
    from shadowprice.cli.arrivals import read_file
    from shadowprice.cli.output import PLOTS, check_writable, show
    from shadowprice.fleet import read_fleet
    from shadowprice.workload.operations import stagger_sessions

    check_writable(asked.plot, PLOTS, "report")
    sizes = [_bytes(text) for text in asked.size or []]
    shares = SHARES if asked.sizes is None else tuple(_share(text) for text in asked.sizes.split(","))
    trace = read_file(asked.trace, asked)
    if asked.sessions_per_hour is not None:
        trace = stagger_sessions(trace, asked.sessions_per_hour / 3600, np.random.default_rng(asked.seed))
    policies = [name.replace("-", "_") for name in asked.policy or []]
    study = compare_policies(trace, read_fleet(asked.fleet), sizes, shares, policies, asked.seed)
    if asked.plot is not None:
        _draw(study, asked.plot)
    if asked.as_json:
        print(json.dumps(study.to_json(), allow_nan=False))
    else:
        show(study)


def _bytes(text: str) -> int:
    from shadowprice.errors import ShadowpriceError

    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)", text.strip())
    if found is None or found[2] not in UNITS or float(found[1]) <= 0:
        raise ShadowpriceError(f"--size is {text!r}; expected a size > 0 like 30GiB ({', '.join(list(UNITS)[1:])})")
    return int(float(found[1]) * UNITS[found[2]])


def _share(text: str) -> float:
    from shadowprice.errors import ShadowpriceError

    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ShadowpriceError(f"--sizes has {text!r}; expected shares in (0, 1] with commas between, like 0.5%,1%,10%")
    return share


def _draw(study: "CacheStudy", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    first = {row.size_bytes: row for row in reversed(study.rows)}
    for policy in dict.fromkeys(row.policy for row in study.rows):
        rows = [row for row in study.rows if row.policy == policy]
        bold = 2.2 if policy in ("lru", "experts") else 0.9
        axes.plot([r.size_bytes / 1024**3 for r in rows], [r.saved_share for r in rows], label=policy, linewidth=bold)
    sizes = sorted(first)
    bounds = [first[size].bound_share for size in sizes]
    axes.plot([size / 1024**3 for size in sizes], bounds, "k--", label="any: bound")
    axes.set(xscale="log", xlabel="size of the cache [GiB]", ylabel="share of prefill seconds saved")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path)
    pyplot.close(figure)
