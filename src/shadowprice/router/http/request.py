"""A request as a client sent it."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shadowprice.router.http.head import VIA, Fields, Lines, field_line, named_by, request_line, without

# by whether workers have a key of their own, and whether the worker is one rank of several
REPLACED = {
    (False, False): frozenset[bytes](),
    (True, False): frozenset((b"authorization",)),
    (False, True): frozenset((b"x-data-parallel-rank",)),
    (True, True): frozenset((b"authorization", b"x-data-parallel-rank")),
}
ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE | re.DOTALL)


class RequestHead:
    """A request's head as it came. path: see `path_of`. connection: that header's value.

    lines: of its headers, those that go on; fields: their values. Requests on a connection share it while alike.
    """

    __slots__ = (
        "_rewritten",
        "chunks_allowed",
        "connection",
        "fields",
        "keep_alive",
        "lines",
        "method",
        "path",
        "target",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        lines: Lines,
        fields: Fields,
        connection: bytes = b"",
        *,
        keep_alive: bool = True,
        chunks_allowed: bool = True,
    ) -> None:
        self.method, self.target, self.path = method, target, path_of(target)
        self.lines, self.fields, self.connection = lines, fields, connection
        self.keep_alive, self.chunks_allowed = keep_alive, chunks_allowed
        self._rewritten: dict[tuple[bytes, frozenset[bytes]], bytes] = {}

    def going_on(self, prefix: bytes, replaced: frozenset[bytes]) -> bytes:
        """The head as it goes to a worker, up to the length. prefix: of its paths. replaced: headers left out."""
        way = (prefix, replaced)
        known = self._rewritten.get(way)
        if known is None:
            dropped = named_by(self.connection) | replaced
            lines = without(dropped, self.lines) if dropped else self.lines
            known = self._rewritten[way] = request_line(self.method, prefix + self.target) + b"".join(lines) + VIA
        return known


@dataclass(slots=True)
class Request:
    """A request as it came. body: None where none came, or it is not needed any more."""

    head: RequestHead
    body: bytes | None


def path_of(target: bytes) -> str:
    """The target up to '?' as workers read it, with what was percent-encoded decoded: the same path in any spelling."""
    path = target.partition(b"?")[0]
    return (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")


def origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None] | None:
    """Target and Host of a request whose target is no path; None if it is no URL either, nor OPTIONS' asterisk.

    In absolute form the URL's path is what goes on, and its host in Host's place (RFC 9112, section 3.2.2).
    """
    if target == b"*" and method == b"OPTIONS":
        return target, None
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None:
        return None
    path = absolute[2] or b"/"
    return path if path.startswith(b"/") else b"/" + path, absolute[1]


def one_hop_less(request: Request) -> bool:
    """May the request go on, now that its Max-Forwards is counted down (RFC 9110, section 7.6.2)."""
    head = request.head
    value = head.fields.get(b"max-forwards", b"")
    if not value.isdigit():
        return True
    left = int(value.lstrip(b"0")[:9] or b"0") - 1  # a larger number may be cut
    lines = [*without((b"max-forwards",), head.lines), field_line(b"Max-Forwards", b"%d" % left)]
    request.head = RequestHead(
        head.method,
        head.target,
        lines,
        head.fields,
        head.connection,
        keep_alive=head.keep_alive,
        chunks_allowed=head.chunks_allowed,
    )
    return left >= 0


def framing_again(method: bytes, version: str, content_length: bytes, keep_alive: bool) -> bytes:
    """A head that tells a new parser where the body ends, and offers no upgrade; content_length empty: in chunks."""
    length = b"Content-Length: " + content_length if content_length else b"Transfer-Encoding: chunked"
    close = b"" if keep_alive else b"Connection: close\r\n"
    return b"%b / HTTP/%b\r\nHost: -\r\n%b\r\n%b\r\n" % (method, version.encode(), length, close)
