"""What is kept of a request when it is over: a row for the record and the shadow evaluation, a line of the log."""

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from shadowprice.errors import RouterError
from shadowprice.router.record.recorder import MOST_PENDING, FinishedRequest

if TYPE_CHECKING:
    from shadowprice.router.exchange import Exchange
    from shadowprice.router.http.client import Client

STDOUT = "-"


def finished_request(exchange: "Exchange", now_s: float, how: str, block_tokens: int) -> FinishedRequest:
    """The request as the record knows it."""
    streamed = exchange.event_stream and exchange.generated > 0
    began_s = exchange.sent_s or now_s
    return FinishedRequest(
        arrival_s=time.time() - (now_s - exchange.arrival_s),
        prompt_tokens=exchange.prompt_tokens,
        output_tokens=exchange.generated,
        session=exchange.session if exchange.session >= 0 else None,
        tenant=exchange.tenant if exchange.tenant >= 0 else None,
        priority=exchange.priority or None,
        prefix=exchange.prefix,
        prefix_block_tokens=block_tokens,
        worker="" if exchange.worker is None else exchange.worker.name,
        queue_s=began_s - exchange.arrival_s,
        ttft_s=exchange.first_s - exchange.arrival_s if streamed else None,
        e2e_s=now_s - exchange.arrival_s,
        status=exchange.status,
        streamed=exchange.asked.stream,
        stop=how,
    )


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

    def add(self, exchange: "Exchange", now_s: float, how: str) -> None:
        """Keep the line of a request that is over for the next flush."""
        request = exchange.request
        self._keep(
            client=exchange.client.address,
            method=request.method.decode("latin-1"),
            path=request.path,
            status=exchange.status,
            stop=how,
            worker="" if exchange.worker is None else exchange.worker.name,
            attempts=exchange.attempts,
            prompt_tokens=exchange.prompt_tokens,
            output_tokens=exchange.generated,
            queue_s=round((exchange.sent_s or now_s) - exchange.arrival_s, 6),
            ttft_s=round(exchange.first_s - exchange.arrival_s, 6) if exchange.first_s else None,
            e2e_s=round(now_s - exchange.arrival_s, 6),
        )

    def add_turned_away(self, client: "Client", status: int, now_s: float) -> None:
        """Keep the line of what was refused before it was a request; method and path may be unknown."""
        method, path = client.incoming.seen
        e2e_s = round(now_s - (client.incoming.begun_s or now_s), 6)
        self._keep(client=client.address, method=method, path=path, status=status, stop="refused", e2e_s=e2e_s)

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
