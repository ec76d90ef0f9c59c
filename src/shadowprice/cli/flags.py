"""Each flag once: those that several verbs share, and a verb's own as the fields of one dataclass."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

BUILT_IN_TRACE = "azure-conv-like"
BUILT_IN_FLEET = "llama-3.1-8b-h100"

TraceName = Annotated[
    str | None,
    typer.Argument(
        help=f"A trace file, a public trace or a preset (shadowprice trace list); {BUILT_IN_TRACE} by default."
    ),
]
FleetName = Annotated[str, typer.Option(help="A fleet file or a preset (shadowprice fleet list).")]
SkipBadRows = Annotated[bool, typer.Option("--skip-bad-rows", help="Drop and count rows that cannot be used.")]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="arrival=NAME,prompt=NAME,output=NAME",
        help="Which columns of the trace mean what; NAME:ms says a unit (docs/workload.md).",
    ),
]
BlockTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens of a block of prefix hashes; by the form or the lengths by default.")
]
DropOversized = Annotated[
    bool, typer.Option("--drop-oversized", help="Leave out and count requests larger than a worker.")
]
Scheduling = Annotated[str, typer.Option(help="How each worker schedules (docs/scheduling.md).")]
Jobs = Annotated[int, typer.Option(help="Processes that simulate at once; -1 for all cores.")]
Backend = Annotated[str, typer.Option(help="Where they run: loky (here), ray or dask (your cluster).")]
Redundant = Annotated[int, typer.Option(min=0, help="Replicas more than experts, per layer.")]
Cost = Annotated[
    Literal["tokens", "seconds"],
    typer.Option(help="What a GPU's load is: tokens, or seconds of its fleet's grouped matrix products."),
]
TileRows = Annotated[int, typer.Option(min=1, help="With --cost seconds: tokens that a tile of the products holds.")]
Seed = Annotated[
    int,
    typer.Option(min=0, help="Of presets, arrivals in coarse steps, forecasts, searches; the same gives the same."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

Flags = TypeVar("Flags")


def spread(run: Callable[[Flags], None]) -> Callable[..., None]:
    """A verb for typer: a flag for each field of run's only parameter, a dataclass of `Annotated` fields."""
    (kind,) = (hint for name, hint in get_type_hints(run).items() if name != "return")
    hints = get_type_hints(kind, include_extras=True)

    def verb(**values: Any) -> None:
        run(kind(**values))

    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
    vars(verb).update(__signature__=Signature(parameters), __annotations__=hints)
    verb.__name__, verb.__doc__ = run.__name__, run.__doc__
    return verb
