"""Any table: which of its columns mean arrival, prompt and output is told by the caller, or by names that people use.

Times may be seconds, milliseconds, microseconds, nanoseconds or dates. The unit is what the caller says
(`arrival=sent:ms`), else what the column's name ends in, else dates are dates and numbers are seconds, unless they can
only be a finer count since 1970.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import Options, Parts, spread
from shadowprice.workload.readers.table import Column, Kind, Table, codes, printable, tokens

ROLES = {  # what a column may mean: the trace's column
    "arrival": "arrival_s",
    "prompt": "prompt_tokens",
    "output": "output_tokens",
    "predicted": "predicted_output",
    "cached": "cached_tokens",
    "session": "session",
    "tenant": "tenant",
    "priority": "priority",
    "deadline": "deadline_s",
    "value": "value",
}
NEEDED = ("arrival", "prompt", "output")
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # of a second
ENDINGS = {"ms": "ms", "millis": "ms", "milliseconds": "ms", "us": "us", "micros": "us", "ns": "ns", "nanos": "ns"}
SINCE_1970 = (("ns", 1e17), ("us", 1e14), ("ms", 1e11))  # smaller numbers of the unit would be before 1974

# Names that people use, without case and punctuation; what more than one column of a file could be is not guessed.
ALIASES = {
    "arrival": "arrival arrivals arrivaltime arrivaltimes arrivaltimestamp arrivaltimems arrivalms arrivedat timestamp "
    "timestamps timestampms ts tsms ts t time times starttime requesttime requeststarttime requesttimestamp createdat "
    "sentat",
    "prompt": "prompttoken prompttokens prompttokencount numprompttokens promptlen promptlength promptsize inputtokens "
    "inputtokencount numinputtokens inputtoks inputlen inputlens inputlength contexttokens prefilltokens "
    "numprefilltokens isl",
    "output": "outputtokens outputtokencount numoutputtokens outputtoks outputlen outputlens outputlength "
    "completiontokens numcompletiontokens generatedtokens numgeneratedtokens generationtokens responsetokens "
    "responselength decodetokens numdecodetokens tokensize osl",
}
MARKS = {"hash_ids", "chat_id", "parent_chat_id"}


@dataclass(frozen=True)
class ColumnMap:
    """Which column means what: name of the file's column by role; unit: of the arrival, None where not said."""

    columns: Mapping[str, str]
    unit: str | None = None
    guessed: bool = False


def parse_columns(given: str | Mapping[str, str]) -> ColumnMap:
    """What `--columns arrival=t_s,prompt=in,output=out` says. Raises TraceError for words that mean nothing."""
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(",")]
        if any(not (equals and name.strip()) for _, equals, name in pairs):
            raise TraceError(f"columns are {printable(given)!r}; expected arrival=NAME,prompt=NAME,output=NAME")
        given = {role.strip(): name.strip() for role, _, name in pairs}
    by_name = {column: role for role, column in ROLES.items()}
    columns = {by_name.get(role, role): name for role, name in given.items()}
    unknown = [role for role in columns if role not in ROLES]
    if unknown:
        raise TraceError(f"columns name {printable(unknown[0])!r}; accepted: {', '.join(ROLES)}")
    missing = [role for role in NEEDED if role not in columns]
    if missing:
        raise TraceError(f"columns do not say what {missing[0]} is; expected {'=NAME,'.join(NEEDED)}=NAME")
    name, colon, unit = columns["arrival"].rpartition(":")
    if colon and unit in UNITS:
        return ColumnMap({**columns, "arrival": name}, unit)
    return ColumnMap(columns)


def guess_columns(found: Sequence[str]) -> ColumnMap | None:
    """The columns by names that people use; None where one is missing, two could be it, or a column is of a known form.

    What has the marks of a known form and is not of it would be read wrongly by its other names.
    """
    if not MARKS.isdisjoint(found):
        return None
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in found}
    columns = {}
    for role, aliases in ALIASES.items():
        fits = [name for name in found if plain[name] in aliases.split()]
        if len(fits) != 1:
            return None
        columns[role] = fits[0]
    return ColumnMap(columns, guessed=True)


def columns_of(mapping: ColumnMap, time_kind: Kind) -> list[Column]:
    """The file's columns, typed; time_kind: "number" or "time", as the arrivals are written."""
    kinds = {
        "arrival": lambda name: Column(name, time_kind, *((0, 1e20) if time_kind == "number" else ())),
        "cached": lambda name: tokens(name, low=0),
        "session": lambda name: Column(name, "text"),
        "tenant": lambda name: Column(name, "text"),
        "priority": lambda name: Column(name, "whole"),
        "deadline": lambda name: Column(name, "number", 0),
        "value": lambda name: Column(name, "number"),
    }
    return [kinds.get(role, tokens)(name) for role, name in mapping.columns.items()]


def require_columns(path: Path, mapping: ColumnMap, found: Sequence[str]) -> None:
    """Raise TraceError for a column that the file has not."""
    for role, name in mapping.columns.items():
        if name not in found:
            shown = printable(", ".join(found))[:200] or "none"
            raise TraceError(f"{path}:1: no column {printable(name)!r} for {role}; found {shown}")


def mapped_parts(table: Table, mapping: ColumnMap, options: Options) -> Parts:
    """The trace's columns, arrivals in seconds since the first."""
    if len(table) == 0:
        return Parts(table, {})
    names = mapping.columns
    if "cached" in names:
        fits = table.array(names["cached"]) < table.array(names["prompt"])
        table = table.require(fits, names["cached"], "a whole number >= 0 and below the prompt's tokens")
    seconds, unit = _seconds(table.array(names["arrival"]), names["arrival"], mapping.unit)
    arrival_s, notes = spread(seconds, options)
    columns: dict[str, Any] = {"arrival_s": arrival_s}
    for role, name in names.items():
        if role in ("session", "tenant"):
            columns[ROLES[role]] = _codes(table.array(name))
        elif role != "arrival":
            columns[ROLES[role]] = table.array(name)
    how = "by the names of its columns" if mapping.guessed else "by the columns given"
    said = ", ".join(f"{role} from {printable(name)}" for role, name in names.items())
    notes.append(f"read {how}: {said}; times taken as {unit}, from the first")
    return Parts(table, columns, notes)


def _seconds(times: npt.NDArray[Any], name: str, unit: str | None) -> tuple[FloatArray, str]:
    """Seconds since the earliest, and what the times were taken to be."""
    if times.dtype == np.int64:  # dates, as nanoseconds since 1970
        return np.asarray((times - times.min()) / 1e9), "dates"
    how = ""
    if unit is None:
        words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
        unit = ENDINGS.get(words[-1]) if words else None
    for of, least in SINCE_1970:
        if unit is None and times.min() >= least:
            unit, how = of, ", since they are too large for seconds"
    unit = unit or "s"
    return np.asarray((times - times.min()) / UNITS[unit]), unit + how


def _codes(names: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Whole numbers as they are; any other text as codes."""
    try:
        return np.array([int(name) for name in names.tolist()], dtype=np.int64)
    except (ValueError, OverflowError):
        return codes(names)
