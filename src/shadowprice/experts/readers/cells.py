"""One count per row, from CSV or JSON lines, of one rank or of several that add up."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import LARGEST_COUNT, ExpertLoads, loads_from_counts

LONG = ("layer", "expert", "count")
BATCH = ("batch", "step", "domain")
OTHER_NAMES = {"layer_id": "layer", "expert_id": "expert", "logical_expert_id": "expert"}
LARGEST_CELLS = 1 << 28


class Cell(NamedTuple):
    """A row: where it stands, and an expert's tokens in a layer; batch and rank are names, empty for none."""

    line: int
    layer: int
    expert: int
    tokens: float
    batch: str
    rank: str


def cell_of(path: Path, line: int, row: dict[str, Any]) -> Cell:
    """A row by column name. Raises ExpertError for a value that does not fit."""
    batch = next((str(row[name]) for name in BATCH if name in row), "")
    layer, expert = (whole(path, line, name, row[name]) for name in ("layer", "expert"))
    return Cell(line, layer, expert, number(path, line, "count", row["count"]), batch, str(row.get("rank", "")))


def plain_name(name: str) -> str:
    """A column by the name that it has here."""
    name = name.strip().lower()
    return OTHER_NAMES.get(name, name)


def loads_of_cells(name: str, files: Iterable[tuple[Path, list[Cell]]]) -> ExpertLoads:
    """The counts of one file, or of a file per rank, added up; so are rows that say of which rank they are.

    Batches come in order of appearance. Raises ExpertError where one file and rank gives a count twice.
    """
    batches: dict[str, int] = {}
    table: list[tuple[int, int, int]] = []
    counts: list[float] = []
    for path, cells in files:
        seen: set[tuple[str, str, int, int]] = set()
        for cell in cells:
            key = (cell.rank, cell.batch, cell.layer, cell.expert)
            if key in seen:
                raise ExpertError(f"{path}:{cell.line}: layer {cell.layer} has this expert's count already")
            seen.add(key)
            table.append((batches.setdefault(cell.batch, len(batches)), cell.layer, cell.expert))
            counts.append(cell.tokens)
    if not table:
        raise ExpertError(f"{name}: no rows below the header; expected one count per row")
    batch, layer_id, expert = np.array(table, np.int64).T
    ids, layer = np.unique(layer_id, return_inverse=True)
    shape = (len(batches), len(ids), int(expert.max()) + 1)
    if np.prod(shape, dtype=float) > LARGEST_CELLS:
        raise ExpertError(f"{name}: expert number {expert.max()}: too large for a model")
    total = np.zeros(shape)
    np.add.at(total, (batch, layer, expert), counts)
    return loads_from_counts(total, name, ids)


def read_lines(path: Path, text: str) -> ExpertLoads:
    """JSON lines: an object per count (layer, expert, count, and batch, step or rank), or the counts of a batch each.

    Raises ExpertError naming the line.
    """
    objects = list(_objects(path, text))
    if all(isinstance(found, list) for _, found in objects):
        return loads_from_counts(_stacked(path, [found for _, found in objects]), str(path))
    cells = []
    for line, found in objects:
        row = {plain_name(name): value for name, value in found.items()} if isinstance(found, dict) else {}
        missing = [name for name in LONG if name not in row]
        if missing:
            keys = ", ".join(row) or "none"
            raise ExpertError(f"{path}:{line}: keys {keys[:200]}; also needed: {', '.join(missing)}")
        cells.append(cell_of(path, line, row))
    return loads_of_cells(str(path), [(path, cells)])


def _objects(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for line, part in enumerate(text.splitlines(), 1):
        if part.strip():
            try:
                yield line, json.loads(part)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ExpertError(f"{path}:{line}: not JSON: {error}") from error


def _stacked(path: Path, rows: list[Any]) -> Any:
    try:
        return np.asarray(rows)
    except (ValueError, OverflowError) as error:
        raise ExpertError(f"{path}: rows of unequal length; expected [experts] or [layers, experts] a line") from error


def whole(path: Path, line: int, name: str, value: Any) -> int:
    """A whole number >= 0, from text or JSON."""
    text = str(value).strip()
    digits = text[:-2] if text.endswith(".0") else text
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise ExpertError(f"{path}:{line}: {name} is {text[:40]!r}; expected a whole number >= 0")
    return int(digits)


def number(path: Path, line: int, name: str, value: Any) -> float:
    """A count, or an average of counts."""
    text = str(value).strip()
    try:
        found = -1.0 if isinstance(value, bool) or not text.isascii() or "_" in text else float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < LARGEST_COUNT:
        raise ExpertError(
            f"{path}:{line}: {name} is {text[:40]!r}; expected a whole number >= 0, or an average of some"
        )
    return found
