"""The fields of one decoder's config.json under standard names, and which of them were read."""

from collections.abc import Mapping
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.sections import Section

# Where a model that also sees, hears or speaks keeps the config of its decoder.
NESTED = (
    *("text_config", "llm_config", "language_config", "thinker_config", "language_model_config", "text_model_config"),
    *("llm", "language", "language_model", "thinker", "decoder_config"),
)


class Noted(dict[str, Any]):
    """A dictionary that remembers which keys were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value, noted as read."""
        self.asked.add(key)
        return super().get(key, default)


class Shape(Section):
    """One decoder's fields by their standard names; `kind` is its model_type, `names` what the file calls them.

    Fields that the file leaves out have the defaults of the type. What is read through it is noted, so that fields
    that nobody understood can be told.
    """

    def __init__(
        self, config: Mapping[str, Any], kind: str, names: Mapping[str, str], defaults: Mapping[str, Any]
    ) -> None:
        values = {k: v for k, v in config.items() if v is not None}
        self.names = {standard: name for standard, name in names.items() if name in values}
        renamed = {standard: values.pop(name) for standard, name in self.names.items()}
        super().__init__("", Noted({**defaults, **values, **renamed}))
        self.kind = kind
        self.given = {*values, *renamed}

    def place(self, key: str) -> str:
        """The key as the file calls it."""
        return self.names.get(key, key)

    def needed(self, key: str, least: int = 1) -> int:
        """A whole number that must be there."""
        if key not in self.table:
            raise FleetError(f"{self.place(key)} is missing; expected a whole number >= {least}")
        return self.whole(key, 0, least=least)

    def entries(self, key: str) -> list[Any]:
        """A list, empty where there is none."""
        value = self.table.get(key) or []
        if not isinstance(value, list):
            raise FleetError(f"{self.place(key)} is {value!r}; expected a list")
        return value

    def wholes(self, key: str, count: int) -> list[int]:
        """`count` whole numbers: a list of as many, or one number for all; raises FleetError where it is missing."""
        value = self.table.get(key)
        if not isinstance(value, list):
            return [self.needed(key, least=0)] * count
        if len(value) != count:
            raise FleetError(f"{self.place(key)} has {len(value)} entries; expected {count}, one for each layer")
        for i, entry in enumerate(value):
            if not isinstance(entry, int) or isinstance(entry, bool) or entry < 0:
                raise FleetError(f"{self.place(key)}[{i}] is {entry!r}; expected a whole number >= 0")
        return value

    def object(self, key: str) -> Section:
        """The section of that name, empty where there is none."""
        return Section(self.place(key), object_in(self.table, key))

    def note(self, *keys: str) -> None:
        """Mark as understood what needs no number: fields that repeat others, or that count for nothing here."""
        for key in keys:
            self.table.get(key)

    def unread(self) -> dict[str, Any]:
        """What the file says and nobody asked for, by the names in the file."""
        asked = self.table.asked if isinstance(self.table, Noted) else set()
        return {self.place(k): v for k, v in self.table.items() if k in self.given and k not in asked}


def object_in(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object of that name, empty where there is none. Raises FleetError where it is something else."""
    value = table.get(key) or {}
    if not isinstance(value, dict):
        raise FleetError(f"{key} is {value!r}; expected an object")
    return value


def decoder_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the decoder: the file itself, or what it nests, however deep."""
    for key in NESTED:
        inner = config.get(key)
        if inner is None or inner == {} or isinstance(inner, str):
            continue
        found = object_in(config, key)
        if "model_type" not in found and "model_type" in config:
            found = {"model_type": config["model_type"], **found}
        return decoder_of(found)
    return config
