"""shadowprice fleet fit: a fleet from a per-request log measured on the user's own engine."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

\b
shadowprice fleet fit log.jsonl -o fleet.toml
shadowprice fleet fit log.jsonl --kv-tokens 262144 --max-num-seqs 256 --halves --json"""


def fit(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            help="JSON lines with input_toks, output_toks, arrival_time, queued_ts, scheduled_ts, first_token_ts and "
            "last_token_ts of each request (docs/calibration.md says how to get one from vLLM).",
        ),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Fleet file to write (TOML).")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the fleet (default: of the log).")] = None,
    halves: Annotated[
        bool, typer.Option("--halves", help="Also fit to the first half of the requests and predict the second.")
    ] = False,
    max_num_seqs: Annotated[int | None, typer.Option(min=1, help="Engine's limit, if you know it.")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(min=1, help="Engine's limit, if you know it.")] = None,
    kv_tokens: Annotated[
        int | None, typer.Option(min=1, help="KV cache size in tokens; vLLM prints it at start as `GPU KV cache size`.")
    ] = None,
    block_size: Annotated[int | None, typer.Option(min=1, help="Tokens per KV block (default: 16).")] = None,
    async_scheduling: Annotated[
        bool | None,
        typer.Option("--async-scheduling/--no-async-scheduling", help="As the engine was started, if you know it."),
    ] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Drop and count unusable rows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
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

    check_writable(output)
    given = Given(max_num_seqs, max_num_batched_tokens, kv_tokens, block_size, async_scheduling)
    measured = read_measured(log, skip_bad_rows=skip_bad_rows)
    with Console(stderr=True, quiet=not sys.stderr.isatty()).status("replaying") as status:
        fitted = fit_log(measured, given, tell=status.update)
        if halves:
            fitted = with_unseen_half(fitted, measured, given, tell=status.update)
    fitted = replace(fitted, name=name or log.stem)
    if output is not None:
        write_fleet(fitted.fleet(), output)
    if as_json:
        print(json.dumps(fitted.to_json()))
        return
    print(fitted)
    if output is not None:
        typer.echo(f"wrote {output}", err=True)
