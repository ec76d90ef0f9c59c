"""Groups of layers and bits of parts in a fleet file: [[model.mixers]], [[model.mlps]], [model.part_bits]."""

from dataclasses import fields
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.layers import Mixer, Mlp
from shadowprice.fleet.sections import Section

LAYERS: dict[str, type[Mixer] | type[Mlp]] = {"mixers": Mixer, "mlps": Mlp}


def given_layers(section: Section) -> dict[str, Any]:
    """What the section says of these three, as Model takes it. Raises FleetError naming the key."""
    found: dict[str, Any] = {name: _groups(section, name, kind) for name, kind in LAYERS.items() if name in section}
    if "part_bits" in section:
        table = section.table["part_bits"]
        if not isinstance(table, dict):
            raise FleetError(f"{section.place('part_bits')} is {table!r}; expected a table of parts and their bits")
        inner = Section(section.place("part_bits"), table)
        found["part_bits"] = tuple((part, inner.number(part, 0.0)) for part in table)
    return found


def _groups(section: Section, name: str, kind: type[Mixer] | type[Mlp]) -> tuple[Mixer | Mlp, ...]:
    tables = section.table[name]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FleetError(f"{section.place(name)} is {str(tables)[:60]}; expected tables [[{section.place(name)}]]")
    return tuple(_group(Section(f"{section.place(name)}[{i}]", table), kind) for i, table in enumerate(tables))


def _group(section: Section, kind: type[Mixer] | type[Mlp]) -> Mixer | Mlp:
    section.only(*(f.name for f in fields(kind)))
    for needed in ("count", "parameters"):
        if needed not in section:
            raise FleetError(f"{section.place(needed)} is missing; expected a whole number")
    given: dict[str, Any] = {
        f.name: section.flag(f.name, True) if f.type is bool else section.whole(f.name, 0, least=int(f.name == "count"))
        for f in fields(kind)
        if f.name in section
    }
    return kind(**given)
