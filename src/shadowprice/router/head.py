"""Message heads: what passes from one side to the other, and what belongs to one hop only (RFC 9110, section 7.6)."""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
VIA = b"Via: 1.1 shadowprice\r\n"
REASON = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}
TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    413: "PayloadTooLargeError",
    429: "RateLimitError",
    431: "HeaderTooLargeError",
    505: "HTTPVersionNotSupportedError",
    501: "NotImplementedError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}


def end_to_end(headers: Iterable[tuple[bytes, bytes]], connection: bytes, without: frozenset[bytes]) -> Iterable[bytes]:
    """The lines of a head that go on: not those `without`, nor those that the Connection header names."""
    if connection and connection.lower() not in (b"keep-alive", b"close"):
        without |= {name.strip().lower() for name in connection.split(b",")} - {b"host", b"content-length"}
    return [b"%b: %b\r\n" % (name, value) for name, value in headers if name.lower() not in without]


def request_head(method: bytes, target: bytes, lines: Iterable[bytes], body_bytes: int | None, extra: bytes) -> bytes:
    """A request as it goes to a worker; body_bytes None: it has no body."""
    length = b"" if body_bytes is None else b"Content-Length: %d\r\n" % body_bytes
    return b"%b %b HTTP/1.1\r\n%b%b%b%b\r\n" % (method, target, b"".join(lines), VIA, length, extra)


def response_head(status: int, lines: Iterable[bytes], framing: bytes, *, keep_alive: bool) -> bytes:
    """A response as it goes to a client."""
    line = REASON.get(status) or b"%d " % status
    close = b"" if keep_alive else b"Connection: close\r\n"
    return b"HTTP/1.1 %b\r\n%b%b%b\r\n" % (line, b"".join(lines), framing, close)


def whole_response(status: int, kind: bytes, body: bytes, *, keep_alive: bool, extra: bytes = b"") -> bytes:
    """A response of the router's own; kind: its content type."""
    framing = b"Content-Type: %b\r\nContent-Length: %d\r\n%b" % (kind, len(body), extra)
    return response_head(status, (), framing, keep_alive=keep_alive) + body


def error_response(status: int, message: str, *, keep_alive: bool, extra: bytes = b"") -> bytes:
    """An error in OpenAI's shape."""
    kind = TYPES.get(status, "RouterError")
    body = msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": status}})
    return whole_response(status, b"application/json", body, keep_alive=keep_alive, extra=extra)
