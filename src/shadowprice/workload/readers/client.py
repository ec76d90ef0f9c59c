"""What load generators write of each request, as the client saw it: sent, first token, last token.

Each tool's form is a file beside this one that turns its objects into `Sent`. Failed requests, and those that were cut
off, have no length to plan for: they are left out, counted and noted.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.readers.formats import Parts
from shadowprice.workload.readers.table import MOST_TOKENS, Table, bad_value, codes

LATEST_S = 1e12
COLUMNS = {
    "start_s": np.float64,
    "prompt": np.int64,
    "output": np.int64,
    "first_s": np.float64,
    "last_s": np.float64,
    "session": object,
}
WHOLE = f"a whole number from 1 to {MOST_TOKENS}"
Document = tuple[int, dict[str, Any]]  # an object of the file, and its line


class Sent(NamedTuple):
    """A request as its client saw it, as found in the file. Seconds of one clock; None where the file does not say.

    at: where it stands in its object, for messages.
    """

    start_s: Any
    prompt: Any
    output: Any
    first_s: Any = None
    last_s: Any = None
    session: Any = None
    at: str = "request"


@dataclass(frozen=True)
class ClientForm:
    """A tool's form: known by the fields that an object of it has.

    sent: the requests of all objects, each with its line; None for one that failed or was cut off. Raises TraceError
    where the objects hold no requests.
    """

    name: str
    times: str
    required: tuple[str, ...]
    sent: Callable[[Path, Sequence[Document]], Iterator[tuple[int, Sent | None]]]

    def fits(self, found: Mapping[str, Any]) -> bool:
        """Whether an object with these fields is of this form."""
        return found.keys() >= set(self.required)


def client_table(
    path: Path, documents: Sequence[Document], form: ClientForm, *, skip_bad_rows: bool, skipped: int = 0
) -> tuple[Table, int]:
    """The requests as columns (first_s, last_s NaN where unknown), and how many were left out; skipped: bad so far."""
    rows, lines, left_out, good = [], [], 0, []
    for line, document in documents:
        if form.fits(document):
            good.append((line, document))
        elif skip_bad_rows:
            skipped += 1
        else:
            lacks = [name for name in form.required if name not in document]
            raise TraceError(f"{path}:{line}: no {', '.join(lacks)}; expected {form.name} as in the objects before it")
    for line, sent in form.sent(path, good):
        if sent is None:
            left_out += 1
            continue
        try:
            rows.append(_checked(path, line, sent))
            lines.append(line)
        except TraceError:
            if not skip_bad_rows:
                raise
            skipped += 1
    if not rows and not skipped:
        raise TraceError(f"{path}: {form.name}, none of whose {left_out} requests was answered; expected one that was")
    columns: dict[str, Any] = {
        name: np.array([row[k] for row in rows], dtype=kind) for k, (name, kind) in enumerate(COLUMNS.items())
    }
    return Table(path, columns, np.array(lines, dtype=np.int64), skip_bad_rows, skipped), left_out


def client_parts(table: Table, left_out: int, form: ClientForm) -> Parts:
    """The trace's columns: seconds since the first request was sent."""
    if len(table) == 0:
        return Parts(table, {})
    start_s = table.array("start_s")
    columns: dict[str, Any] = {
        "arrival_s": start_s - start_s.min(),
        "prompt_tokens": table.array("prompt"),
        "output_tokens": table.array("output"),
    }
    session = codes(table.array("session"))
    if len(np.unique(session[session >= 0])) < np.count_nonzero(session >= 0):  # one of more than one request
        columns["session"] = session
    notes = [f"read as {form.name}: {form.times}"]
    if left_out:
        notes.append(
            f"{left_out} of {left_out + len(table) + table.skipped_rows} requests failed or were cut off and were left "
            "out: demand was higher than this trace"
        )
    return Parts(table, columns, notes)


def inner(value: Any, *names: str) -> Any:
    """What stands under these names, one inside the other; None where nothing does."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def first_of(value: Any, *paths: str) -> Any:
    """What stands under the first of these dotted paths that is there."""
    for path in paths:
        found = inner(value, *path.split("."))
        if found is not None:
            return found
    return None


def after(start: Any, seconds: Any, scale: float = 1.0) -> Any:
    """start + scale * seconds, where both are numbers; None else."""
    return start + scale * seconds if _number(start) and _number(seconds) else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _checked(path: Path, line: int, sent: Sent) -> tuple[float, int, int, float, float, str]:
    times = {"its start": sent.start_s, "its first token": sent.first_s, "its last token": sent.last_s}
    for name, value in times.items():
        fits = _number(value) and 0 <= value <= LATEST_S
        if not fits and not (value is None and name != "its start"):
            raise bad_value(path, line, f"{sent.at}: {name}", value, f"seconds from 0 to {LATEST_S:g}")
    for name, value in (("prompt tokens", sent.prompt), ("output tokens", sent.output)):
        if not (_number(value) and value == int(value) and 1 <= value <= MOST_TOKENS):
            raise bad_value(path, line, f"{sent.at}: {name}", value, WHOLE)
    first, last = (math.nan if value is None else float(value) for value in (sent.first_s, sent.last_s))
    session = "" if sent.session is None else str(sent.session)
    return float(sent.start_s), int(sent.prompt), int(sent.output), first, last, session
