"""Typed access to the sections of a fleet file, with errors that name the key."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from shadowprice.errors import FleetError
from shadowprice.fleet.names import did_you_mean

T = TypeVar("T")

LARGEST_WHOLE = 10**15  # far above any real fleet, far below where 64-bit arithmetic overflows


class Section:
    """One table of a file; every reader raises FleetError naming key, what was found and what is accepted."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self.name = name
        self.table = table

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def __bool__(self) -> bool:
        return bool(self.table)

    def place(self, key: str) -> str:
        """The key as a person would look for it."""
        return f"{self.name}.{key}" if self.name else key

    def only(self, *accepted: str) -> None:
        """Refuse keys that are not in `accepted`."""
        for key in self.table:
            if key not in accepted:
                raise FleetError(f"unknown key {self.place(key)!r}; {did_you_mean(key, accepted)}")

    def text(self, key: str, default: T) -> str | T:
        """A non-empty string."""
        value = self.table.get(key, default)
        if key in self.table and (not isinstance(value, str) or not value.strip()):
            raise FleetError(f"{self.place(key)} is {value!r}; expected a text")
        return value

    def flag(self, key: str, default: T) -> bool | T:
        """true or false."""
        value = self.table.get(key, default)
        if key in self.table and not isinstance(value, bool):
            raise FleetError(f"{self.place(key)} is {value!r}; expected true or false")
        return value

    def whole(self, key: str, default: T, least: int = 1) -> int | T:
        """A whole number from `least` on."""
        value = self.table.get(key, default)
        if key in self.table:
            good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_WHOLE
            if not good:
                raise FleetError(f"{self.place(key)} is {value!r}; expected a whole number from {least} to 1e15")
        return value

    def number(self, key: str, default: T) -> float | T:
        """A finite number >= 0."""
        value = self.table.get(key, default)
        if key not in self.table:
            return default
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1e300
        if not good or not math.isfinite(value):
            raise FleetError(f"{self.place(key)} is {value!r}; expected a finite number >= 0")
        return float(value)


def open_sections(document: Mapping[str, Any], names: Iterable[str]) -> tuple[Section, dict[str, Section]]:
    """The keys outside any section, and each section of `names` (empty where the file has none)."""
    names = tuple(names)
    sections = {}
    for name in names:
        table = document.get(name, {})
        if not isinstance(table, dict):
            raise FleetError(f"{name} is {table!r}; expected a section [{name}]")
        sections[name] = Section(name, table)
    for key, value in document.items():
        if isinstance(value, dict) and key not in names:
            raise FleetError(f"unknown section [{key}]; {did_you_mean(key, names)}")
    return Section("", {k: v for k, v in document.items() if k not in names}), sections
