"""shadowprice fleet fit: a fleet from a per-request log measured on the user's own engine."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shadowprice.cli.flags import AsJson

EPILOG = """Examples:

\b
shadowprice fleet fit log.jsonl -o fleet.toml
shadowprice fleet fit log.jsonl --kv-tokens 262144 --max-num-seqs 256 --halves --json"""


@dataclass(frozen=True)
class FitFlags:
    """What `shadowprice fleet fit` can be asked."""

    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            help="JSON lines with input_toks, output_toks, arrival_time, queued_ts, scheduled_ts, first_token_ts and "
            "last_token_ts of each request (docs/calibration.md says how to get one from vLLM).",
        ),
    ]
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Fleet file to write (TOML).")] = None
    name: Annotated[str | None, typer.Option(help="Name of the fleet (default: of the log).")] = None
    halves: Annotated[
        bool, typer.Option("--halves", help="Also fit to the first half of the requests and predict the second.")
    ] = False
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="Engine's limit, if you know it.")] = None
    max_num_batched_tokens: Annotated[int | None, typer.Option(min=1, help="Engine's limit, if you know it.")] = None
    kv_tokens: Annotated[
        int | None, typer.Option(min=1, help="KV cache size in tokens; vLLM prints it at start as `GPU KV cache size`.")
    ] = None
    block_size: Annotated[int | None, typer.Option(min=1, help="Tokens per KV block (default: 16).")] = None
    async_scheduling: Annotated[
        bool | None,
        typer.Option("--async-scheduling/--no-async-scheduling", help="As the engine was started, if you know it."),
    ] = None
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Drop and count unusable rows.")] = False
    as_json: AsJson = False


def fit(asked: FitFlags) -> None:
    """Fit step time and limits to a measured log, replay the log, and print how far the replay is off.

    Limits that are not given are inferred from the log where it shows them.
    """
    from dataclasses import replace

    from rich.console import Console

    from shadowprice.calibrate import Given, with_unseen_half
    from shadowprice.calibrate import fit as fit_log
    from shadowprice.cli.output import check_writable
    from shadowprice.fleet import write_fleet
    from shadowprice.workload import read_measured

    output = asked.output
    check_writable(output)
    given = Given(
        asked.max_num_seqs, asked.max_num_batched_tokens, asked.kv_tokens, asked.block_size, asked.async_scheduling
    )
    measured = read_measured(asked.log, skip_bad_rows=asked.skip_bad_rows)
    with Console(stderr=True, quiet=not sys.stderr.isatty()).status("replaying") as status:
        fitted = fit_log(measured, given, tell=status.update)
        if asked.halves:
            fitted = with_unseen_half(fitted, measured, given, tell=status.update)
    fitted = replace(fitted, name=asked.name or asked.log.stem)
    if output is not None:
        write_fleet(fitted.fleet(), output)
    if asked.as_json:
        print(json.dumps(fitted.to_json()))
        return
    print(fitted)
    if output is not None:
        typer.echo(f"wrote {output}", err=True)
