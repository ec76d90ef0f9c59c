"""Policies by name: the built-in ones, and those that installed packages add under an entry point.

A package adds a policy by naming its constructor in its own pyproject.toml:

    [project.entry-points."shadowprice.scheduling"]
    my_order = "my_package.orders:my_order"
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar, cast

from shadowprice.errors import PolicyError

Policy = TypeVar("Policy")


class Registry(Mapping[str, Callable[..., Policy]]):
    """Constructors of policies by name: the built-in ones in their order, then the installed ones.

    group: the entry points' group. Installed packages are looked for when a name is not built in or all are listed,
    and imported only when a policy of theirs is asked for. Raises PolicyError where a package's policy bears a name
    that is taken, cannot be imported, or is nothing that can be called.
    """

    def __init__(self, group: str, built_in: Mapping[str, Callable[..., Policy]]) -> None:
        self.group = group
        self.built_in = built_in

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """What other packages add, by name."""
        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name):
            if entry.name in self.built_in or entry.name in found:
                other = "shadowprice itself" if entry.name in self.built_in else _package(found[entry.name])
                raise PolicyError(
                    f"package {_package(entry)} names a policy {entry.name!r} for {self.group}, and so does {other}; "
                    "expected a name that nobody has"
                )
            found[entry.name] = entry
        return found

    def __getitem__(self, name: str) -> Callable[..., Policy]:
        if name in self.built_in:
            return self.built_in[name]
        entry = self.installed[name]
        at = f"policy {name!r} of package {_package(entry)} for {self.group}: {entry.value}"
        try:
            made = entry.load()
        except Exception as error:  # whatever another's module does when it is imported
            raise PolicyError(f"{at} cannot be imported ({type(error).__name__}: {error})") from error
        if not callable(made):
            raise PolicyError(f"{at} is {made!r}; expected something to call that returns a policy")
        return cast(Callable[..., Policy], made)

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self.installed

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from self.installed

    def __len__(self) -> int:
        return len(self.built_in) + len(self.installed)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "of unknown name"
