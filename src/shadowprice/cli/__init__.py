"""The command line: one thin file per verb."""

import sys
from typing import Annotated, NoReturn

import typer

import shadowprice
from shadowprice.cli.audit import EPILOG, audit
from shadowprice.cli.bench import bench_app
from shadowprice.cli.cache import EPILOG as CACHE_EPILOG
from shadowprice.cli.cache import cache
from shadowprice.cli.disaggregate import EPILOG as DISAGGREGATE_EPILOG
from shadowprice.cli.disaggregate import disaggregate
from shadowprice.cli.experts import EPILOG as EXPERTS_EPILOG
from shadowprice.cli.experts import experts
from shadowprice.cli.flags import spread
from shadowprice.cli.fleet import fleet_app
from shadowprice.cli.help import Grouped
from shadowprice.cli.plan import EPILOG as PLAN_EPILOG
from shadowprice.cli.plan import plan
from shadowprice.cli.route import EPILOG as ROUTE_EPILOG
from shadowprice.cli.route import route
from shadowprice.cli.trace import trace_app
from shadowprice.errors import ShadowpriceError

INTERRUPTED = 130  # as shells call what Ctrl-C ended

app = typer.Typer(
    name="shadowprice",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut long flags off, and read `[s]` as markup
)
app.command("audit", epilog=EPILOG, short_help="What each decision costs, and the bound that none can beat.")(
    spread(audit)
)
app.command("cache", epilog=CACHE_EPILOG, short_help="What to keep: savings by policy, the bound, the price of a GiB.")(
    spread(cache)
)
app.command("disaggregate", epilog=DISAGGREGATE_EPILOG, short_help="Prefill and decode together or apart.")(
    spread(disaggregate)
)
app.command("experts", epilog=EXPERTS_EPILOG, short_help="Where MoE experts should live, and what that is worth.")(
    spread(experts)
)
app.command("plan", epilog=PLAN_EPILOG, short_help="How many workers, stable and within latency targets.")(spread(plan))
app.command("route", epilog=ROUTE_EPILOG, cls=Grouped, short_help="The live router before vLLM or SGLang workers.")(
    route
)
app.add_typer(bench_app, name="bench")
app.add_typer(fleet_app, name="fleet")
app.add_typer(trace_app, name="trace")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"shadowprice {shadowprice.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Decide how an LLM fleet serves, and prove how good the decision is."""


def main() -> None:
    """Run the command line. Bad input ends with one clear line and exit code 2, Ctrl-C with exit code 130."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        raise
    except (ShadowpriceError, OSError) as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except SystemError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        _end("interrupted", INTERRUPTED)  # in a compiled kernel


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)
