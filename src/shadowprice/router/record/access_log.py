"""The access log: a line of each request that is over."""

import contextlib
import os
import sys
import time
from typing import Any

import msgspec

from shadowprice.errors import RouterError
from shadowprice.router.http.request import Request
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.recorder import MOST_PENDING

STDOUT = "-"


class AccessLog:
    """A JSON line per request, written once a second; '-' is standard output. `add` is for the data path.

    It names client, method, path and worker; never headers, queries or bodies, where secrets are. What cannot be
    written is lost: lost_total lines, by errors_total writes that failed, the last one with last_error.
    """

    def __init__(self, path: str) -> None:
        """Opens the file. Raises RouterError; nothing raises later."""
        self.path = path
        self.lost_total = self.errors_total = 0
        self.last_error = ""
        self._lines: list[bytes] = []
        self._end = b""  # of a line that was written in part
        try:
            self._file = _opened(path)
        except OSError as error:
            raise RouterError(
                f"--access-log {path}: {error.strerror or error}; expected a file to append to"
            ) from error

    def add(self, row: FinishedRequest, request: Request, address: str) -> None:
        """Keep the line of a request that is over for the next flush; address: the client's."""
        self._keep(
            client=address,
            method=request.head.method.decode("latin-1"),
            path=request.head.path,
            status=row.status,
            stop=row.stop,
            worker=row.worker,
            attempts=row.attempts,
            prompt_tokens=row.prompt_tokens,
            output_tokens=row.output_tokens,
            queue_s=round(row.queue_s, 6),
            ttft_s=None if row.head_s is None else round(row.head_s, 6),
            e2e_s=round(row.e2e_s, 6),
        )

    def add_turned_away(self, address: str, seen: tuple[str, str], status: int, e2e_s: float) -> None:
        """Keep the line of what was refused before it was a request; method and path, `seen`, may be unknown."""
        method, path = seen
        self._keep(client=address, method=method, path=path, status=status, stop="refused", e2e_s=round(e2e_s, 6))

    def _keep(self, **row: Any) -> None:
        row = {"time": round(time.time(), 6), **row}
        if len(self._lines) < MOST_PENDING:
            self._lines.append(msgspec.json.encode(row) + b"\n")
        else:  # the flush hangs, at a pipe that nobody reads
            self.lost_total += 1

    def flush(self) -> None:
        """Write what is kept."""
        count = len(self._lines)  # the data path may append meanwhile
        if not count:
            return
        data = self._end + b"".join(self._lines[:count])
        del self._lines[:count]
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self._failed(error, data.count(b"\n", max(written, len(self._end))))
        if written:
            self._end = b"" if data[written - 1 : written] == b"\n" else b"\n"

    def _failed(self, error: OSError, lost: int) -> None:
        self.errors_total += 1
        self.lost_total += lost
        self.last_error = f"{self.path}: {error.strerror or error}"
        if self.errors_total == 1:
            message = f"warning: --access-log {self.last_error}; its lines are lost until it can be written again"
            with contextlib.suppress(OSError):  # stderr may be as full
                print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        if self.path != STDOUT:
            os.close(self._file)

    def to_json(self) -> dict[str, Any]:
        """How it goes, as plain JSON values."""
        return {
            "path": self.path,
            "lost_total": self.lost_total,
            "errors_total": self.errors_total,
            "last_error": self.last_error,
        }


def _opened(path: str) -> int:
    if path != STDOUT:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    if sys.stdout is None:
        raise OSError("standard output is closed")
    return sys.stdout.fileno()
