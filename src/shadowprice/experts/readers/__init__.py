"""Reading expert loads: the form is told from the content, and what does not fit is an error that says where."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from shadowprice.errors import ExpertError
from shadowprice.experts.loads import ExpertLoads, Routing, loads_from_counts
from shadowprice.experts.readers.cells import LONG, plain_name, read_lines
from shadowprice.experts.readers.counts import COUNT_KEYS, counts_in, read_counts_csv, read_ranks
from shadowprice.experts.readers.routing import ROUTING_KEYS, read_responses, routing_from_ids
from shadowprice.experts.readers.sglang import read_sglang

__all__ = ["read_loads"]

BALANCE = re.compile(r"avg_tokens=([\d.]+), max_tokens=(\d+), balancedness=")  # of vLLM's EPLB
NUMPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"


def read_loads(source: str | Path, *, experts: int | None = None, model: str | None = None) -> ExpertLoads | Routing:
    """Read expert loads from a file, or from a directory of SGLang's records.

    Forms (docs/experts.md): CSV, or a directory of one per rank; JSON {"logical_count": ...} or [[...]]; JSON lines;
    npy and npz with counts [experts], [layers, experts] or [batches, layers, experts], or with expert ids [tokens,
    layers, top_k]; SGLang's expert distribution records (.pt); vLLM's answers with routed_experts.

    Parameters
    ----------
    source : str or Path
        The file or directory.
    experts : int, optional
        How many the model has, where ids alone do not tell.
    model : str, optional
        Which one, where a CSV has several.

    Returns
    -------
    ExpertLoads or Routing
        Counts per batch, or routing token by token.

    Raises
    ------
    ExpertError
        Naming file, place, what was found and what is accepted.
    """
    path = Path(source)
    try:
        if path.is_dir():
            return read_ranks(path, model) if _has_csv(path) else read_sglang(path)
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise ExpertError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise ExpertError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise ExpertError(f"{path}: the file is empty; expected expert loads")
    if head.startswith(NUMPY_MAGIC):
        return _array(path, _load(path), experts)
    if head.startswith(ZIP_MAGIC):
        return _zip(path, experts)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return _json(path, experts)
    return _text(path, model)


def _has_csv(folder: Path) -> bool:
    return any(folder.glob("*.csv")) and not any(folder.glob("*.pt"))


def _text(path: Path, model: str | None) -> ExpertLoads:
    """CSV, or an error that says what vLLM's log line tells and what it does not."""
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = [found for line in file if (found := BALANCE.search(line))]
    if lines:
        ratios = [float(most) / float(mean) for mean, most in (line.groups() for line in lines) if float(mean) > 0]
        said = f", the largest over the mean load {np.mean(ratios):.3f} in the mean," if ratios else ""
        raise ExpertError(
            f"{path}: vLLM's log of how balanced ranks are: {len(lines)} steps{said} but no expert's load; expected "
            "counts per expert, or answers of `vllm serve --enable-return-routed-experts`"
        )
    return read_counts_csv(path, model)


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises many kinds for a damaged file
        raise ExpertError(f"{path}: damaged, or holds Python objects ({type(error).__name__}: {error})") from error


def _array(path: Path, array: Any, experts: int | None) -> ExpertLoads | Routing:
    """An .npy file: unsigned bytes or shorts with three dimensions are vLLM's expert ids, all else is counts."""
    if array.ndim == 3 and array.dtype in (np.uint8, np.uint16):
        return routing_from_ids(array, str(path), experts)
    return loads_from_counts(array, str(path))


def _zip(path: Path, experts: int | None) -> ExpertLoads | Routing:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # as numpy does
        raise ExpertError(f"{path}: damaged: {error}") from error
    if any(name.endswith("data.pkl") for name in names):
        return read_sglang(path)
    with _load(path) as arrays:
        for key in ROUTING_KEYS:
            if key in arrays:
                return routing_from_ids(_member(path, arrays, key), str(path), experts)
        counts = counts_in(path, {key: _member(path, arrays, key) for key in COUNT_KEYS if key in arrays})
    if counts is None:
        accepted = ", ".join((*ROUTING_KEYS, *COUNT_KEYS))
        raise ExpertError(f"{path}: arrays {', '.join(names)[:200]}; expected one named {accepted}")
    return counts


def _member(path: Path, arrays: Any, key: str) -> Any:
    try:
        return arrays[key]
    except Exception as error:  # as above: a damaged member
        raise ExpertError(f"{path}: {key}: damaged ({type(error).__name__}: {error})") from error


def _json(path: Path, experts: int | None) -> ExpertLoads | Routing:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if '"choices"' in text:
            return read_responses(path, experts)
        if error.msg == "Extra data":  # a second value: a line each
            return read_lines(path, text)
        raise ExpertError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ExpertError(f"{path}: not JSON: {error}") from error
    if isinstance(found, list):
        return loads_from_counts(_nested(path, found), str(path))
    if "choices" in found:
        return read_responses(path, experts)
    if {plain_name(name) for name in found} >= set(LONG):
        return read_lines(path, text)
    counts = counts_in(path, found)
    if counts is None:
        raise ExpertError(
            f"{path}: keys {', '.join(found)[:200] or 'none'}; expected one of {', '.join(COUNT_KEYS)}, or choices"
        )
    return counts


def _nested(path: Path, found: list[Any]) -> Any:
    try:
        return np.asarray(found)
    except (ValueError, OverflowError) as error:
        raise ExpertError(f"{path}: rows of unequal length; expected [layers, experts]") from error
