"""Message heads: what passes from one side to the other, and what belongs to one hop only (RFC 9110, section 7.6)."""

from collections.abc import Container, Iterable
from http import HTTPStatus

import msgspec

Lines = list[bytes]  # of a head, as they go on
Fields = dict[bytes, bytes]  # values by names in lower case; of several with one name, the last

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)  # they do not go on, whatever the Connection header names
OF_REQUEST = HOP_BY_HOP | {b"content-length", b"expect"}  # the length is told anew, an expectation is met here
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


def field_line(name: bytes, value: bytes) -> bytes:
    """A header as it goes on."""
    return b"%b: %b\r\n" % (name, value)


def named_by(connection: bytes) -> frozenset[bytes]:
    """The headers that a Connection header declares to be of its hop only."""
    if not connection or connection.lower() in (b"keep-alive", b"close"):
        return frozenset()
    return frozenset(name.strip().lower() for name in connection.split(b",")) - {b"host", b"content-length"}


def without(names: Container[bytes], lines: Iterable[bytes]) -> Lines:
    """The lines but for headers of these names."""
    return [line for line in lines if line.partition(b":")[0].lower() not in names]


def request_line(method: bytes, target: bytes) -> bytes:
    """The first line of a request to a worker."""
    return b"%b %b HTTP/1.1\r\n" % (method, target)


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
