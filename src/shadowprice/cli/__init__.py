"""The command line: one thin file per verb."""

import sys

import typer

from shadowprice.cli.audit import EPILOG, audit
from shadowprice.cli.bench import bench_app
from shadowprice.cli.disaggregate import EPILOG as DISAGGREGATE_EPILOG
from shadowprice.cli.disaggregate import disaggregate
from shadowprice.cli.experts import EPILOG as EXPERTS_EPILOG
from shadowprice.cli.experts import experts
from shadowprice.cli.fleet import fleet_app
from shadowprice.cli.plan import EPILOG as PLAN_EPILOG
from shadowprice.cli.plan import plan
from shadowprice.cli.route import EPILOG as ROUTE_EPILOG
from shadowprice.cli.route import route
from shadowprice.cli.trace import trace_app
from shadowprice.errors import ShadowpriceError

app = typer.Typer(
    name="shadowprice",
    help="Decide how an LLM fleet serves, and prove how good the decision is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("audit", epilog=EPILOG)(audit)
app.command("disaggregate", epilog=DISAGGREGATE_EPILOG)(disaggregate)
app.command("experts", epilog=EXPERTS_EPILOG)(experts)
app.command("plan", epilog=PLAN_EPILOG)(plan)
app.command("route", epilog=ROUTE_EPILOG)(route)
app.add_typer(bench_app, name="bench")
app.add_typer(fleet_app, name="fleet")
app.add_typer(trace_app, name="trace")


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    try:
        app()
    except ShadowpriceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
