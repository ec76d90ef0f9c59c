"""Parameters of a decision: frozen objects that compare equal and round-trip TOML and JSON."""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Self, get_args, get_type_hints

import msgspec
import tomlkit

from shadowprice.errors import ShadowpriceError


class Options:
    """For a frozen dataclass of plain values and of other frozen dataclasses; what is None is left out of the TOML.

    >>> from shadowprice.plan import Targets
    >>> Targets.from_toml("ttft_s = 1.5").to_toml()
    'ttft_s = 1.5\\nquantile = 0.99\\n'
    """

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain JSON values; a limit that is infinite is None."""
        return _finite(msgspec.to_builtins(self))

    def to_toml(self) -> str:
        """The parameters as a TOML document."""
        return tomlkit.dumps(_known(msgspec.to_builtins(self)))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The parameters that a TOML document gives, the others as they are by default.

        Raises ShadowpriceError where the text is no TOML, a name is unknown, or a value does not fit.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ShadowpriceError(f"{cls.__name__}: no TOML: {error}") from None
        for name, accepted in _unknown(cls, values):
            raise ShadowpriceError(f"{cls.__name__}: unknown key {name!r}; accepted: {', '.join(accepted)}")
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, ShadowpriceError):
                raise error.__cause__ from None
            raise ShadowpriceError(f"{cls.__name__}: {error}") from None


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _finite(value) if isinstance(value, dict) else None if value in (math.inf, -math.inf) else value
        for name, value in values.items()
    }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is None, in tables too."""
    tables = {name: _known(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in tables.items() if value is not None}


def _unknown(kind: type, values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Keys that are no field of the dataclass, in tables too, with the names that would be."""
    hints = get_type_hints(kind)
    accepted = [field.name for field in fields(kind)]
    for name, value in values.items():
        if name not in accepted:
            yield prefix + name, accepted
        elif isinstance(value, dict):
            for part in (hints[name], *get_args(hints[name])):
                if isinstance(part, type) and is_dataclass(part):
                    yield from _unknown(part, value, f"{prefix}{name}.")
