"""What is being done, on stderr where that is a terminal; gone when it is done, or has failed."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def track(todo: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """All of it, with a bar; total: how many, where `todo` does not know."""
    from rich import progress
    from rich.console import Console

    quiet = not sys.stderr.isatty()
    return progress.track(todo, what, total, console=Console(stderr=True), transient=True, disable=quiet)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many are done, of how many."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """A line that is told what is being done now."""
    from rich.console import Console

    with Console(stderr=True, quiet=not sys.stderr.isatty()).status(what) as status:
        yield status.update
