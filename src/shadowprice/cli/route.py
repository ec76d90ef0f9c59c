"""`shadowprice route`: the live router before real engines."""

import os
from collections.abc import Iterator
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer

from shadowprice.errors import RouterError
from shadowprice.router.settings import FLAGS, Settings, flag_name

EPILOG = """Examples:

\b
shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000
shadowprice route --worker-urls http://node:8000 --intra-node-data-parallel-size 8 --max-num-seqs 256
shadowprice route --worker-urls http://gpu1:8000 http://gpu2:8000 --host 0.0.0.0 --api-key KEY --record trace.parquet
shadowprice route --worker-file workers.txt --policy priced_holes --scheduling-policy vtc --max-num-seqs 128

Then point clients at http://HOST:PORT/v1 and a browser at the dashboard. docs/router.md explains every flag."""


def _parameters() -> Iterator[Parameter]:
    """What typer makes the command line of: an argument, and the settings that have a flag."""
    more = typer.Argument(metavar="URL", help="More worker URLs, after --worker-urls.")
    yield _parameter("more_urls", list[str] | None, more, None)
    kinds = get_type_hints(Settings)
    for field in fields(Settings):
        flag, kind = FLAGS[field.name], kinds[field.name]
        if flag.group is None:
            continue
        words = () if kind is bool else (flag_name(field.name),)
        option = typer.Option(*words, help=flag.help, rich_help_panel=flag.group)
        if kind == tuple[str, ...]:
            yield _parameter(field.name, list[str] | None, option, None)
        else:
            yield _parameter(field.name, kind, option, field.default)


def _parameter(name: str, kind: Any, told: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, told])


def route(**given: Any) -> None:
    """Route OpenAI requests to vLLM or SGLang workers: a reverse proxy with the policies that the audit measured."""
    from shadowprice.router.process import run

    more_urls = given.pop("more_urls") or []
    given["worker_urls"] = (*(given["worker_urls"] or []), *more_urls)
    for name in ("policy", "scheduling_policy"):
        given[name] = given[name].replace("-", "_")
    given["api_keys"] = tuple(given["api_keys"] or _keys_from_environment())
    for name in ("worker_api_key", "admin_api_key"):
        if given[name] is None:
            given[name] = os.environ.get(FLAGS[name].variable or "")
    run(Settings(**given))


vars(route).update(__signature__=Signature(list(_parameters())))


def _keys_from_environment() -> list[str]:
    """Keys with commas between them: what stands on a command line can be seen by every user of the machine."""
    variable = FLAGS["api_keys"].variable or ""
    value = os.environ.get(variable)
    if value is None:
        return []
    keys = [key for part in value.split(",") if (key := part.strip())]
    if not keys:  # who sets it wants a key: without one every client would be served
        raise RouterError(
            f"{variable} is set, but names no key; expected keys with commas between, or no such variable"
        )
    return keys
