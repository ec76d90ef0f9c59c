"""How `--help` looks where a verb has many options."""

from typing import Any

from typer.core import TyperCommand


class Grouped(TyperCommand):
    """A verb whose help lists its options under the headings that `rich_help_panel` names, in their order."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments first, then each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                fallback = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or fallback, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)
