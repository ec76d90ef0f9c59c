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
