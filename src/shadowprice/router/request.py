"""A request as a client sent it."""

import re
from dataclasses import dataclass

from shadowprice.router.head import Headers

ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Request:
    """A request as it came. path: the target up to '?'. connection: that header's value. body: None where none came."""

    method: bytes
    target: bytes
    path: str
    headers: Headers
    connection: bytes
    body: bytes | None
    keep_alive: bool
    chunks_allowed: bool
    begun_s: float


def origin_form(method: bytes, target: bytes, headers: Headers) -> tuple[bytes, Headers] | None:
    """Target and headers of a request whose target is no path; None if it is no URL either, nor OPTIONS' asterisk.

    In absolute form the URL's path is what goes on, and its host as Host (RFC 9112, section 3.2.2).
    """
    if target == b"*" and method == b"OPTIONS":
        return target, headers
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None:
        return None
    path = absolute[2] or b"/"
    others = [field for field in headers if field[0].lower() != b"host"]
    return path if path.startswith(b"/") else b"/" + path, [(b"Host", absolute[1]), *others]


def is_preflight(headers: Headers) -> bool:
    """Is this OPTIONS request a browser's question before another one: it never carries a key (Fetch standard)."""
    return any(name.lower() == b"access-control-request-method" for name, _ in headers)


def framing_again(method: bytes, version: str, content_length: bytes, keep_alive: bool) -> bytes:
    """A head that tells a new parser where the body ends, and offers no upgrade; content_length empty: in chunks."""
    length = b"Content-Length: " + content_length if content_length else b"Transfer-Encoding: chunked"
    close = b"" if keep_alive else b"Connection: close\r\n"
    return b"%b / HTTP/%b\r\nHost: -\r\n%b\r\n%b\r\n" % (method, version.encode(), length, close)
