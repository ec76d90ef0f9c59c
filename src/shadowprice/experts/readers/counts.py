"""Counts of tokens per layer and expert from CSV, JSON, npy and npz."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import ExpertLoads, loads_from_counts

LONG = ("layer", "expert", "count")
BATCH = ("batch", "step", "domain")
LARGEST_CELLS = 1 << 28
COUNT_KEYS = ("logical_count", "counts", "tokens_per_expert")


def read_counts_csv(path: Path, model: str | None = None) -> ExpertLoads:
    """A matrix [layers][experts] of numbers, with or without a header line, or one count per row.

    One count per row: a header with the columns layer, expert, count; optional: one of batch, step, domain (each value
    is a batch, in order of appearance) and model (choose one with `model` where the file has several).
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(i, row) for i, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExpertError(f"{path}: cannot be read as CSV: {error}") from error
    if not rows:
        raise ExpertError(f"{path}: the file is empty; expected counts of tokens per layer and expert")
    header = [cell.strip().lower() for cell in rows[0][1]]
    if set(LONG) <= set(header):
        return _long(path, header, rows[1:], model)
    if not all(_is_number(cell) for cell in header):
        if {"expert", "count"} & set(header):
            missing = ", ".join(name for name in LONG if name not in header)
            raise ExpertError(f"{path}:1: columns {', '.join(header)}; also needed: {missing}")
        rows = rows[1:]
    first = 1 if header[0] == "layer" else 0
    matrix = [[_whole(path, line, f"column {k + 1}", cell) for k, cell in enumerate(row)] for line, row in rows]
    for (line, row), (_, before) in zip(rows[1:], rows, strict=False):
        if len(row) != len(before):
            raise ExpertError(f"{path}:{line}: {len(row)} columns; the row before has {len(before)}")
    if not matrix or len(matrix[0]) <= first:
        raise ExpertError(f"{path}: no counts below the header; expected rows of counts, one per layer")
    array = np.array(matrix, np.int64)
    return loads_from_counts(array[:, first:], str(path), array[:, 0].copy() if first else None)


def _long(path: Path, header: list[str], rows: list[tuple[int, list[str]]], model: str | None) -> ExpertLoads:
    column = {name: header.index(name) for name in header}
    batch_column = next((column[name] for name in BATCH if name in column), None)
    if "model" in column:
        rows = _of_model(path, column["model"], rows, model)
    batches: dict[str, int] = {}
    cells = []
    for line, row in rows:
        if len(row) != len(header):
            raise ExpertError(f"{path}:{line}: {len(row)} columns; the header has {len(header)}")
        batch = batches.setdefault("" if batch_column is None else row[batch_column], len(batches))
        cells.append([batch, *(_whole(path, line, name, row[column[name]]) for name in LONG)])
    if not cells:
        raise ExpertError(f"{path}: no rows below the header; expected one count per row")
    table = np.array(cells, np.int64)
    ids, layer = np.unique(table[:, 1], return_inverse=True)
    shape = (len(batches), len(ids), int(table[:, 2].max()) + 1)
    if np.prod(shape, dtype=float) > LARGEST_CELLS:
        raise ExpertError(f"{path}: expert number {table[:, 2].max()}: too large for a model")
    place = np.ravel_multi_index((table[:, 0], layer, table[:, 2]), shape)
    twice = np.flatnonzero(np.bincount(place, minlength=1) > 1)
    if len(twice):
        line = [at for (at, _), p in zip(rows, place, strict=True) if p == twice[0]][1]
        raise ExpertError(f"{path}:{line}: layer {ids[layer[place == twice[0]]][0]} has this expert's count already")
    counts = np.zeros(shape, np.int64)
    counts.ravel()[place] = table[:, 3]
    return loads_from_counts(counts, str(path), ids)


def _of_model(path: Path, k: int, rows: list[tuple[int, list[str]]], model: str | None) -> list[tuple[int, list[str]]]:
    found = sorted({row[k] for _, row in rows if len(row) > k})
    chosen = [name for name in found if model is None or model.lower() in name.lower()]
    if len(chosen) != 1:
        asked = f" ({model!r} fits {len(chosen)} of them)" if model else ""
        raise ExpertError(f"{path}: counts of {len(found)} models{asked}; name one of: {', '.join(found)}")
    return [(line, row) for line, row in rows if len(row) <= k or row[k] == chosen[0]]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _whole(path: Path, line: int, name: str, cell: str) -> int:
    text = cell.strip()
    digits = text[:-2] if text.endswith(".0") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise ExpertError(f"{path}:{line}: {name} is {cell[:40]!r}; expected a whole number >= 0")
    return int(digits)


def counts_in(path: Path, found: dict[str, Any]) -> ExpertLoads | None:
    """Counts under one of the names they go by in JSON, npz and SGLang's dumps; None where there is none."""
    for key in COUNT_KEYS:
        if key in found:
            return loads_from_counts(_array(path, key, found[key]), str(path))
    return None


def _array(path: Path, key: str, value: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ExpertError(f"{path}: {key}: rows of unequal length; expected [layers, experts]") from error
