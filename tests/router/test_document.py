"""docs/router.md names every flag, metric, route, column and policy that there is, and none that there is not."""

import re
from pathlib import Path
from typing import Any

import typer
from prometheus_client.parser import text_string_to_metric_families

from shadowprice.cli import app
from shadowprice.router.admin.app import admin_app
from shadowprice.router.admin.metrics import PREFIX, exposition
from shadowprice.router.openai.body import SIZED
from shadowprice.router.record.journal import SCHEMA
from shadowprice.routing.policies import POLICIES
from tests.router.replay import ReplayControl

TEXT = (Path(__file__).parents[2] / "docs" / "router.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`\n]+)`")


def section(title: str) -> str:
    """What stands under a heading, up to the next of any level."""
    match = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match, title
    return match[1]


def rows(text: str) -> list[list[str]]:
    """Cells of a Markdown table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def options() -> list[Any]:
    command: Any = typer.main.get_command(app)
    return [option for option in command.commands["route"].params if option.param_type_name == "option"]


def shown(default: Any, on: str) -> str:
    """A default as the document has it."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"{'' if default else 'no-'}{on.removeprefix('--')}"
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_flags_and_their_defaults_stand_in_the_document_as_grouped_in_the_help() -> None:
    for panel in {option.rich_help_panel for option in options()}:
        expected = {
            ", ".join(option.opts + option.secondary_opts): shown(option.default, option.opts[0])
            for option in options()
            if option.rich_help_panel == panel
        }
        assert {", ".join(CODE.findall(flag)): default for flag, default, _ in rows(section(panel))} == expected


def test_no_flag_is_named_that_there_is_not() -> None:
    known = {name for option in options() for name in option.opts + option.secondary_opts}
    others = {"--enable-igw"}  # of another router
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - known == others


def test_metrics_are_those_that_are_exposed(replayed: ReplayControl) -> None:
    snapshot = replayed.snapshot() | {"refused_total": {"queue_full": 1}}
    families = text_string_to_metric_families(exposition(snapshot).decode())
    exposed = {family.name.removeprefix(PREFIX) + ("_total" if family.type == "counter" else "") for family in families}
    named = [name for names, _ in rows(section("Metrics")) for name in CODE.findall(names)]
    assert len(named) == len(set(named))
    assert set(named) == exposed


def test_routes_of_the_admin_port_are_those_that_it_has(replayed: ReplayControl) -> None:
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in admin_app(replayed, admin_key=None).router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    named = {name for names, _ in rows(section("Admin API")) for name in CODE.findall(names)} - {"/page/"}
    assert named | {"GET /page/{file}"} == routes


def test_columns_paths_and_policies_are_all_there() -> None:
    for name in SCHEMA.names:
        assert f"`{name}`" in section("Records and shadow evaluation"), name
    assert {path for path in CODE.findall(section("What happens to a request")) if path in SIZED} == SIZED
    policy = next(what for flag, _, what in rows(section("Decisions")) if flag == "`--policy`")
    assert CODE.findall(policy) == list(POLICIES)
