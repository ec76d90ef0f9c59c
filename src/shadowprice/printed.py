"""Results that print themselves."""

import io
from abc import ABC, abstractmethod

from rich.console import Console, RenderableType

WIDTH = 110  # of the text where there is no terminal to ask


class Printed(ABC):
    """For a result that says by `__rich__` what is shown of it: the same in a terminal, as text and in a notebook."""

    @abstractmethod
    def __rich__(self) -> RenderableType: ...

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip("\n")

    def _repr_html_(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, record=True)
        console.print(self)
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
