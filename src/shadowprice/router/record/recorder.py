"""Records the live trace so that `audit` and `plan` run on what the router really served (`--record trace.parquet`).

A Parquet file has its footer at the end and cannot grow, so finished requests are appended, once a second, to a
journal beside it: JSON lines in a file of its own for each recorder, `trace.parquet.ID.journal`. `close`, or the next
start after a crash, turns the journals of recorders that are no more into the Parquet file: a new file is written
whole, with the ids of the journals that are in it, and takes the old one's place in one rename. So a crash at any
moment loses and doubles nothing but what was not yet appended: at most what finished since the last flush, and the
row in the middle of which the process was killed. `read_trace` reads Parquet file and journals together at any time.

A `.jsonl` target is such a journal itself, and is only ever appended to.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from shadowprice.errors import RouterError, TraceError
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.journal import Line, block_tokens_of, locked, open_record, take_in

MOST_PENDING = 100_000  # finished requests kept in memory while they cannot be written
BLOCK_TOKENS = 16  # stands in the rows of a router that hashes no prefixes: the readers want a size
NO_CODE = -1  # of session and tenant, as in a Trace


class Recorder:
    """Appends finished requests to a record; `add` is for the data path, the rest for whoever keeps the time.

    rows_total: written. lost_total: given up, because more than MOST_PENDING could not be written. errors_total and
    last_error: of writes that failed; the rows are tried again at the next flush. prefixes_left_out_total: rows whose
    prefix is in blocks of another kind than the record's (`same_blocks`). notes: what was found at the start.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens the record, after taking in what a killed recorder left. An existing record is continued.

        Raises RouterError where the path cannot be written, is no record, or is recorded by another process.
        """
        self.path = Path(path)
        if self.path.suffix not in (".parquet", ".jsonl"):
            raise RouterError(
                f"--record {path}: cannot record to this; expected a file name ending in .parquet or .jsonl"
            )
        self.rows_total = self.lost_total = self.errors_total = 0
        self.last_error = ""
        self._pending: deque[FinishedRequest] = deque()
        self.prefixes_left_out_total = 0
        self._writing = threading.Lock()
        self._encoder = msgspec.json.Encoder()
        try:
            self._file, self.journal, self._block_tokens, self.notes = open_record(self.path)
            self._end = os.fstat(self._file).st_size
        except OSError as error:
            raise RouterError(f"--record {path}: cannot record to it: {error.strerror or error}") from error
        except TraceError as error:
            raise RouterError(f"--record {path}: cannot continue this record: {error}") from error

    @property
    def pending(self) -> int:
        """Finished requests that are not written yet."""
        return len(self._pending)

    def add(self, request: FinishedRequest) -> None:
        """Keep it for the next flush."""
        self._pending.append(request)

    def flush(self) -> int:
        """Append what is pending; how many rows. Never raises for a full disk: see errors_total."""
        with self._writing:
            count = len(self._pending)
            # popleft, since the data path may append meanwhile
            rows = [self._pending.popleft() for _ in range(count)]
            if not rows:
                return 0
            try:
                if self._block_tokens:
                    self._write(rows)
                else:
                    self._write_first(rows)
            except (OSError, TraceError) as error:
                self._failed(error)
                self._pending.extendleft(reversed(rows))
                while len(self._pending) > MOST_PENDING:
                    self._pending.popleft()
                    self.lost_total += 1
                return 0
            self.rows_total += count
            return count

    def close(self) -> None:
        """Write the rest, and turn the journal into the Parquet file; where that fails the journal stays."""
        if self._file < 0:
            return
        self.flush()
        with self._writing:
            os.close(self._file)
            self._file = -1
            if self.path.suffix == ".parquet":
                try:
                    with locked(self.path.parent):
                        take_in(self.path)
                except (OSError, RouterError, TraceError) as error:
                    self._failed(error)

    def to_json(self) -> dict[str, Any]:
        """How it goes, as plain JSON values."""
        return {
            "path": str(self.path),
            "rows_total": self.rows_total,
            "pending": self.pending,
            "lost_total": self.lost_total,
            "prefixes_left_out_total": self.prefixes_left_out_total,
            "errors_total": self.errors_total,
            "last_error": self.last_error,
        }

    def _failed(self, error: Exception) -> None:
        self.errors_total += 1
        self.last_error = f"{self.path}: {getattr(error, 'strerror', None) or error}"

    def _write(self, rows: list[FinishedRequest]) -> None:
        self._append(self._encoder.encode_lines([self._line(row) for row in rows]))

    def _write_first(self, rows: list[FinishedRequest]) -> None:
        """With the block size of those who record to the same file, else of the last row, which knew best."""
        alone = self.journal == self.path
        with nullcontext() if alone else locked(self.path.parent):
            try:
                known = 0 if alone else block_tokens_of(self.path)
                self._block_tokens = known or rows[-1].prefix_block_tokens or BLOCK_TOKENS
                self._write(rows)
            except OSError:
                self._block_tokens = 0
                raise

    def _append(self, data: bytes) -> None:
        """All of it or, where that fails, nothing."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(data)

    def _line(self, request: FinishedRequest) -> Line:
        """The row of a request. All rows of a record name one size of blocks."""
        fits = same_blocks(request.prefix_block_tokens, self._block_tokens)
        self.prefixes_left_out_total += bool(request.prefix) and not fits
        return Line(
            arrival_s=request.arrival_s,
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
            session=NO_CODE if request.session is None else signed(request.session),
            tenant=NO_CODE if request.tenant is None else signed(request.tenant),
            priority=0 if request.priority is None else request.priority,
            prefix=_all_signed(request.prefix) if fits else (),
            prefix_block_tokens=self._block_tokens,
            worker=request.worker,
            queue_s=request.queue_s,
            ttft_s=request.ttft_s,
            e2e_s=request.e2e_s,
            status=request.status,
            streamed=request.streamed,
            stop=request.stop,
            deadline_s=request.deadline_s or 0.0,
        )


def same_blocks(tokens: int, others: int) -> bool:
    """May these be two estimates for the same blocks: what their bytes hold varies with the text, but not so much."""
    return tokens <= 2 * others and others <= 2 * tokens


def signed(code: int) -> int:
    """A 64-bit integer as Parquet's int64 has it."""
    return (code + 2**63) % 2**64 - 2**63


def _all_signed(codes: tuple[int, ...]) -> Sequence[int]:
    return codes if not codes or (max(codes) < 2**63 and min(codes) >= -(2**63)) else [signed(code) for code in codes]
