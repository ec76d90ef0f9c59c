"""The trace: what arrives, as a struct of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import TraceError


@dataclass(frozen=True)
class Ragged:
    """One variable-length list of numbers per request: list i is values[offsets[i]:offsets[i + 1]].

    values: [total], offsets: int64 [n + 1], rising from 0 to total. Raises TraceError where they do not fit.
    """

    values: npt.NDArray[Any]
    offsets: IntArray

    def __post_init__(self) -> None:
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(self.values):
            raise TraceError("ragged offsets must be one-dimensional and run from 0 to len(values)")
        if np.any(np.diff(offsets) < 0):
            raise TraceError("ragged offsets must not fall")

    @staticmethod
    def from_lengths(values: npt.NDArray[Any], lengths: npt.ArrayLike) -> "Ragged":
        """Values laid end to end, cut into lists of the given lengths."""
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @staticmethod
    def concatenate(parts: Sequence["Ragged"]) -> "Ragged":
        """The lists of all parts, one part after the other."""
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return Ragged.from_lengths(np.concatenate([part.values for part in parts]), lengths)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> npt.NDArray[Any]:
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def take(self, index: IntArray) -> "Ragged":
        """The lists at `index`, in that order (repeats allowed)."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths)
        return Ragged(self.values[starts + np.arange(offsets[-1])], offsets)


FLOAT_COLUMNS = ("arrival_s", "deadline_s", "value", "media_cost")
INT_COLUMNS = (
    *("prompt_tokens", "output_tokens", "predicted_output", "predicted_low", "predicted_high"),
    *("session", "tenant", "priority", "cached_tokens", "prefix", "media_tokens"),
)


@dataclass(frozen=True)
class Trace:
    """Requests sorted by arrival: arrays of one length n, None where the source does not say.

    Other number types are converted where that changes no value.

    Parameters
    ----------
    arrival_s : ndarray of float64, shape (n,)
        Arrivals [s], not falling.
    prompt_tokens, output_tokens : ndarray of int64, shape (n,)
        Lengths, at least 1.
    predicted_output, predicted_low, predicted_high : ndarray of int64, shape (n,), or None
        A forecast of `output_tokens` and its interval, at least 1. No policy reads the interval yet: it is for those
        that plan with the shortest or longest that an output may be.
    session, tenant : ndarray of int64, shape (n,), or None
        Codes of the conversation (-1: none) and of the client.
    priority : ndarray of int64, shape (n,), or None
        Smaller is more urgent, as in vLLM.
    deadline_s : ndarray of float64, shape (n,), or None
        Seconds from the arrival within which the last token is asked for, at least 0; 0: no deadline.
    value : ndarray of float64, shape (n,), or None
        What serving the request is worth. No policy reads it yet: it is for those that decide whom to serve.
    cached_tokens : ndarray of int64, shape (n,), or None
        Leading prompt tokens already in cache on arrival, 0 <= cached < prompt.
    prefix : Ragged or None
        Hashes of the prompt's leading blocks.
    prefix_block_tokens : int
        Tokens of each of these blocks.
    media_tokens, media_cost : Ragged or None
        One entry per image, clip or sound: tokens (a part of `prompt_tokens`, 0 where unknown), seconds to encode.
        No policy reads them yet: they are for those that decide which encoded media to keep.
    name : str
        Where it came from, for titles and messages.
    skipped_rows : int
        Bad rows that the reader dropped on request.
    notes : tuple of str
        What else the reader did that the file does not say.

    Raises
    ------
    TraceError
        Naming the field and row, when an array has the wrong length, type or an impossible value.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> trace = sp.Trace(np.array([0.0, 0.5, 2.0]), np.array([100, 200, 300]), np.array([10, 10, 20]))
    >>> len(trace), trace.rate_per_s
    (3, 1.0)
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    predicted_output: IntArray | None = None
    predicted_low: IntArray | None = None
    predicted_high: IntArray | None = None
    session: IntArray | None = None
    tenant: IntArray | None = None
    priority: IntArray | None = None
    deadline_s: FloatArray | None = None
    value: FloatArray | None = None
    cached_tokens: IntArray | None = None
    prefix: Ragged | None = None
    prefix_block_tokens: int = 0
    media_tokens: Ragged | None = None
    media_cost: Ragged | None = None
    name: str = "trace"
    skipped_rows: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in FLOAT_COLUMNS + INT_COLUMNS:
            object.__setattr__(self, name, _typed(self, name, np.float64 if name in FLOAT_COLUMNS else np.int64))
        n = len(self.arrival_s)
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray | Ragged) and len(column) != n:
                raise TraceError(f"{self.name}: {field.name} has {len(column)} rows; expected {n}")
        _require(self, "arrival_s", np.isfinite(self.arrival_s), "a finite number")
        for name in ("prompt_tokens", "output_tokens", "predicted_output", "predicted_low", "predicted_high"):
            column = getattr(self, name)
            if column is not None:
                _require(self, name, column >= 1, "a whole number >= 1")
        if self.deadline_s is not None:
            fits = np.isfinite(self.deadline_s) & (self.deadline_s >= 0)
            _require(self, "deadline_s", fits, "a finite number >= 0")
        if self.value is not None:
            _require(self, "value", np.isfinite(self.value), "a finite number")
        if self.cached_tokens is not None:
            fits = (self.cached_tokens >= 0) & (self.cached_tokens < self.prompt_tokens)
            _require(self, "cached_tokens", fits, "a whole number >= 0 and below prompt_tokens")
        if n > 1:
            rising = np.concatenate([[True], np.diff(self.arrival_s) >= 0])
            _require(self, "arrival_s", rising, "a time no earlier than the row before; sort the rows first")

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def span_s(self) -> float:
        """Seconds from the first arrival to the last; 0 for fewer than two requests."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    @property
    def rate_per_s(self) -> float:
        """Arrivals per second over the span: (n - 1) / span_s; infinite when all arrive at once."""
        if len(self) < 2:
            return 0.0
        return (len(self) - 1) / self.span_s if self.span_s > 0 else float("inf")

    def take(self, index: npt.ArrayLike, arrival_s: FloatArray | None = None) -> "Trace":
        """The requests at `index`, with every column that is present; `arrival_s` are their new arrivals, if given.

        The arrivals of the result must not fall: raises TraceError where they do.
        """
        rows = np.asarray(index, dtype=np.int64)
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, Ragged):
                columns[field.name] = column.take(rows)
            elif isinstance(column, np.ndarray):
                columns[field.name] = column[rows]
        if arrival_s is not None:
            columns["arrival_s"] = arrival_s
        return replace(self, **columns)


def _typed(trace: Trace, name: str, dtype: type) -> Any:
    """The column in the dtype that kernels expect; TraceError where that would change a value."""
    column = getattr(trace, name)
    if isinstance(column, Ragged):
        values = _exact(trace, name, column.values, dtype)
        return column if values is column.values else Ragged(values, column.offsets)
    return None if column is None else _exact(trace, name, np.asarray(column), dtype)


def _exact(trace: Trace, name: str, values: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    if values.dtype == dtype:
        return values
    same: npt.NDArray[Any] | None = (
        values.astype(dtype) if np.issubdtype(values.dtype, np.number) or len(values) == 0 else None
    )
    if same is None or not np.array_equal(same, values):
        raise TraceError(f"{trace.name}: {name} is {values.dtype}; expected values that {dtype.__name__} holds exactly")
    return same


def _require(trace: Trace, field: str, fits: npt.NDArray[np.bool_], accepted: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits))
        raise TraceError(f"{trace.name}: request {row}: {field} is {getattr(trace, field)[row]}; expected {accepted}")
