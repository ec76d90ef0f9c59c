"""Typed columns of a text file, each row with the line it stands on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.errors import TraceError
from shadowprice.workload.trace import Ragged

Kind = Literal["whole", "number", "time", "text", "wholes", "numbers"]
Values = npt.NDArray[Any] | Ragged

SKIP_HINT = "; --skip-bad-rows (skip_bad_rows=True) drops and counts such rows"
MOST_TOKENS = 10**9  # no request is that long; sums over 10**9 requests still fit 63 bits

# Fields of a row of JSON
TokenCount = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
ZeroOrMore = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Hash = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

ACCEPTED: dict[Kind, str] = {
    "whole": "a whole number",
    "number": "a finite number",
    "time": "a time such as 2023-11-16 18:15:46.6805900 or 2024-05-10T00:00:00.009Z",
    "text": "text",
    "wholes": "whole numbers separated by ';'",
    "numbers": "finite numbers separated by ';'",
}


@dataclass(frozen=True)
class Column:
    """A column that a format reads: its name in the file, kind, and for numbers the accepted range."""

    name: str
    kind: Kind
    low: float = -np.inf
    high: float = np.inf
    required: bool = True

    @property
    def accepted(self) -> str:
        """What the column holds, in words, for error messages."""
        text = ACCEPTED[self.kind]
        if self.high == MOST_TOKENS:
            return f"{text} from {self.low:.0f} to {MOST_TOKENS}"
        return f"{text} >= {self.low:g}" if self.low > -np.inf else text


def tokens(name: str, low: int = 1, *, kind: Kind = "whole", required: bool = True) -> Column:
    """A column of token counts in [low, MOST_TOKENS]."""
    return Column(name, kind, low, MOST_TOKENS, required)


@dataclass(frozen=True)
class Table:
    """Columns of one file. line: int64 [n], the line of each row. skipped_rows: bad rows that were dropped."""

    path: Path
    columns: dict[str, Values]
    line: IntArray
    skip_bad_rows: bool
    skipped_rows: int = 0

    def __len__(self) -> int:
        return len(self.line)

    def array(self, name: str) -> npt.NDArray[Any]:
        """The flat column `name`."""
        column = self.columns[name]
        assert isinstance(column, np.ndarray)
        return column

    def ragged(self, name: str) -> Ragged:
        """The column of lists `name`."""
        column = self.columns[name]
        assert isinstance(column, Ragged)
        return column

    def require(self, fits: npt.NDArray[np.bool_], field: str, accepted: str) -> "Table":
        """The rows that fit; TraceError naming the first that does not, unless bad rows are to be skipped."""
        if fits.all():
            return self
        if not self.skip_bad_rows:
            row = int(np.argmin(fits))
            raise bad_value(self.path, int(self.line[row]), field, self.columns[field][row], accepted)
        rows = np.flatnonzero(fits)
        columns = {name: take(column, rows) for name, column in self.columns.items()}
        dropped = len(self) - len(rows)
        return replace(self, columns=columns, line=self.line[rows], skipped_rows=self.skipped_rows + dropped)


def bad_value(path: Path, line: int, field: str, found: object, accepted: str) -> TraceError:
    """The error for one wrong value: file:line: field is found; expected accepted."""
    return TraceError(f"{path}:{line}: {field} is {_show(found)}; expected {accepted}{SKIP_HINT}")


def codes(names: npt.NDArray[np.object_]) -> IntArray:
    """Text as codes 0, 1, ... in order of the alphabet; -1 for empty text (no session)."""
    distinct, code = np.unique(names.astype(str), return_inverse=True)
    has_empty = len(distinct) > 0 and distinct[0] == ""
    return np.asarray(code - 1 if has_empty else code, dtype=np.int64)


def _show(found: object) -> str:
    if isinstance(found, np.generic):
        found = found.item()
    if isinstance(found, np.ndarray):
        found = found.tolist()
    text = printable(f'"{found}"' if isinstance(found, str) else str(found))
    return text if len(text) <= 60 else f"{text[:57]}..."


def printable(text: str) -> str:
    """The text without the characters that could confuse a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def take(column: Values, rows: IntArray) -> Values:
    """The rows of a flat or ragged column."""
    return column.take(rows) if isinstance(column, Ragged) else column[rows]


def join(columns: list[Values]) -> Values:
    """The columns of several blocks as one."""
    if isinstance(columns[0], np.ndarray):
        return columns[0] if len(columns) == 1 else np.concatenate(columns)  # type: ignore[arg-type]
    return Ragged.concatenate([column for column in columns if isinstance(column, Ragged)])


def fits_range(column: Column, values: Values) -> npt.NDArray[np.bool_]:
    """Which rows lie inside the column's accepted range; a row of lists fits when all of its entries do."""
    if column.kind in ("text", "time"):
        return np.ones(len(values), dtype=bool)
    if isinstance(values, np.ndarray):
        return np.asarray((values >= column.low) & (values <= column.high) & np.isfinite(values))
    wrong_before = np.concatenate([[0], np.cumsum(~fits_range(column, values.values))])
    return np.asarray(wrong_before[values.offsets[1:]] == wrong_before[values.offsets[:-1]])


def ragged(lists: list[list[Any]], dtype: type) -> Ragged:
    """Python lists as one Ragged."""
    flat: npt.NDArray[Any] = np.array([value for row in lists for value in row], dtype=dtype)
    return Ragged.from_lengths(flat, np.fromiter((len(row) for row in lists), dtype=np.int64, count=len(lists)))
