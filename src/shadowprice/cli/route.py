"""`shadowprice route`: the live router before real engines."""

from typing import Annotated

import typer

EPILOG = """Examples:

shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000

shadowprice route --worker-urls http://node:8000 --intra-node-data-parallel-size 8 --policy bf_io --max-num-seqs 256

shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000 --api-key KEY --record trace.parquet
"""


def route(
    more_urls: Annotated[list[str] | None, typer.Argument(metavar="[URL]...", help="More worker URLs.")] = None,
    worker_urls: Annotated[
        list[str] | None, typer.Option(help="http://host:port of each worker, or @rank of one.")
    ] = None,
    policy: Annotated[str, typer.Option(help="How requests are routed (docs/routing.md).")] = "bf_io",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 30000,
    max_num_seqs: Annotated[
        int | None, typer.Option(help="Most requests at one worker; more wait in the router.")
    ] = None,
) -> None:
    """Route OpenAI requests to vLLM or SGLang workers."""
    from shadowprice.router.server import run
    from shadowprice.router.settings import Settings

    run(
        Settings(
            worker_urls=tuple((worker_urls or []) + (more_urls or [])),
            policy=policy.replace("-", "_"),
            host=host,
            port=port,
            max_num_seqs=max_num_seqs,
        )
    )
