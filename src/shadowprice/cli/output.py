"""What a verb gives back: results on stdout, and the files that it was asked for."""

import os
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from shadowprice.errors import ShadowpriceError
from shadowprice.extras import needs

WIDEST = 1000  # columns
CUT_OFF = "\N{HORIZONTAL ELLIPSIS}"
PLOTS = (".svg", ".png", ".pdf")


class _Results(Console):
    """Text wraps at the terminal's width, 80 in a pipe; a table of which something would be cut off keeps its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        options = options or self.options
        segments = list(super().render(renderable, options))
        if isinstance(renderable, Table) and any(CUT_OFF in segment.text for segment in segments):
            return super().render(renderable, options.update(max_width=WIDEST))
        return segments


def show(*results: RenderableType) -> None:
    """Print results as they are: brackets are no markup, and a table that is too wide is wrapped by the terminal."""
    _Results(highlight=False, markup=False).print(*results, sep="\n", crop=False)


def check_writable(path: Path | None, endings: tuple[str, ...] = (), extra: str | None = None) -> None:
    """Raise ShadowpriceError where this file cannot be written, before the work and not after it.

    extra: what writing it takes; raises MissingExtraError where that is not installed.
    """
    if path is None:
        return
    if extra is not None:
        needs(extra)
    if endings and path.suffix not in endings:
        raise ShadowpriceError(f"{path}: expected a name that ends in {', '.join(endings)}")
    if path.is_dir():
        reason = "it is a directory"
    elif not path.parent.is_dir():
        reason = f"no directory {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "permission denied"
    else:
        return
    raise ShadowpriceError(f"{path}: cannot be written: {reason}")
