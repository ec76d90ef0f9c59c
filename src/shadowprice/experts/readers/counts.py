"""Counts of tokens per layer and expert from CSV, JSON, npy and npz."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import ExpertLoads, loads_from_counts
from shadowprice.experts.readers.cells import LONG, Cell, cell_of, loads_of_cells, number, plain_name, whole

COUNT_KEYS = ("logical_count", "counts", "tokens_per_expert")


def read_counts_csv(path: Path, model: str | None = None) -> ExpertLoads:
    """A matrix [layers][experts] of numbers, with or without a header line, or one count per row.

    One count per row: a header with the columns layer (or layer_id), expert (or expert_id), count; optional: one of
    batch, step, domain (each value is a batch, in order of appearance), rank (counts of ranks add up) and model (choose
    one with `model` where the file has several).
    """
    header, rows = _rows(path)
    if set(LONG) <= set(header):
        return loads_of_cells(str(path), [(path, _cells(path, header, rows[1:], model))])
    if not all(_is_number(cell) for cell in header):
        if {"expert", "count"} & set(header):
            missing = ", ".join(name for name in LONG if name not in header)
            raise ExpertError(f"{path}:1: columns {', '.join(header)}; also needed: {missing}")
        rows = rows[1:]
    first = 1 if header[0] == "layer" else 0
    matrix = [[number(path, line, f"column {k + 1}", cell) for k, cell in enumerate(row)] for line, row in rows]
    for (line, row), (_, before) in zip(rows[1:], rows, strict=False):
        if len(row) != len(before):
            raise ExpertError(f"{path}:{line}: {len(row)} columns; the row before has {len(before)}")
    if not matrix or len(matrix[0]) <= first:
        raise ExpertError(f"{path}: no counts below the header; expected rows of counts, one per layer")
    ids = np.array([whole(path, line, "layer", row[0]) for line, row in rows], np.int64) if first else None
    return loads_from_counts(np.array(matrix)[:, first:], str(path), ids)


def read_ranks(folder: Path, model: str | None = None) -> ExpertLoads:
    """A folder with a CSV per rank, one count per row in each; the ranks' counts add up."""
    files = []
    for path in sorted(folder.glob("*.csv")):
        header, rows = _rows(path)
        missing = [name for name in LONG if name not in header]
        if missing:
            raise ExpertError(f"{path}:1: columns {', '.join(header)[:200]}; also needed: {', '.join(missing)}")
        files.append((path, _cells(path, header, rows[1:], model)))
    return loads_of_cells(str(folder), files)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The first line as column names, and all lines with their numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(i, row) for i, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExpertError(f"{path}: cannot be read as CSV: {error}") from error
    if not rows:
        raise ExpertError(f"{path}: the file is empty; expected counts of tokens per layer and expert")
    return [plain_name(cell) for cell in rows[0][1]], rows


def _cells(path: Path, header: list[str], rows: list[tuple[int, list[str]]], model: str | None) -> list[Cell]:
    if "model" in header:
        rows = _of_model(path, header.index("model"), rows, model)
    cells = []
    for line, row in rows:
        if len(row) != len(header):
            raise ExpertError(f"{path}:{line}: {len(row)} columns; the header has {len(header)}")
        cells.append(cell_of(path, line, dict(zip(header, row, strict=True))))
    return cells


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
