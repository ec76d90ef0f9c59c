"""A request as a client sent it."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shadowprice.router.http.head import Fields, Lines, field_line, without

ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Request:
    """A request as it came. path: see `path_of`. connection: that header's value. body: None where none came.

    lines: of its headers, those that go on. fields: all of them.
    """

    method: bytes
    target: bytes
    path: str
    lines: Lines
    fields: Fields
    connection: bytes
    body: bytes | None
    keep_alive: bool
    chunks_allowed: bool
    begun_s: float


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
    value = request.fields.get(b"max-forwards", b"")
    if not value.isdigit():
        return True
    left = int(value.lstrip(b"0")[:9] or b"0") - 1  # a larger number may be cut
    request.lines = [*without((b"max-forwards",), request.lines), field_line(b"Max-Forwards", b"%d" % left)]
    return left >= 0


def framing_again(method: bytes, version: str, content_length: bytes, keep_alive: bool) -> bytes:
    """A head that tells a new parser where the body ends, and offers no upgrade; content_length empty: in chunks."""
    length = b"Content-Length: " + content_length if content_length else b"Transfer-Encoding: chunked"
    close = b"" if keep_alive else b"Connection: close\r\n"
    return b"%b / HTTP/%b\r\nHost: -\r\n%b\r\n%b\r\n" % (method, version.encode(), length, close)
