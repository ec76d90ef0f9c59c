"""What is kept of a request when it is over: a row for the record and the shadow evaluation, a line of the log."""

import sys
import time
from typing import IO, TYPE_CHECKING

import msgspec

from shadowprice.errors import RouterError
from shadowprice.router.record import FinishedRequest

if TYPE_CHECKING:
    from shadowprice.router.exchange import Exchange


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
    """A JSON line per request, written once a second; '-' is standard output. Raises RouterError.

    It names method, path and worker; never headers, queries or bodies, where secrets are.
    """

    def __init__(self, path: str) -> None:
        self._lines: list[bytes] = []
        try:
            self._file: IO[bytes] = sys.stdout.buffer if path == "-" else open(path, "ab")  # noqa: SIM115
        except OSError as error:
            raise RouterError(
                f"--access-log {path}: {error.strerror or error}; expected a file to append to"
            ) from error

    def add(self, exchange: "Exchange", now_s: float, how: str) -> None:
        """Keep the line for the next flush."""
        request = exchange.request
        row = {
            "time": round(time.time(), 6),
            "method": request.method.decode("latin-1"),
            "path": request.path,
            "status": exchange.status,
            "stop": how,
            "worker": "" if exchange.worker is None else exchange.worker.name,
            "attempts": exchange.attempts,
            "prompt_tokens": exchange.prompt_tokens,
            "output_tokens": exchange.generated,
            "queue_s": round((exchange.sent_s or now_s) - exchange.arrival_s, 6),
            "ttft_s": round(exchange.first_s - exchange.arrival_s, 6) if exchange.first_s else None,
            "e2e_s": round(now_s - exchange.arrival_s, 6),
        }
        self._lines.append(msgspec.json.encode(row) + b"\n")

    def flush(self) -> None:
        """Write what is kept."""
        lines, self._lines = self._lines, []
        if lines:
            self._file.write(b"".join(lines))
            self._file.flush()
