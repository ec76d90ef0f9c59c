"""Who may use the admin port: a key where it can be reached from elsewhere, and no foreign page's requests anywhere.

Without a key the port listens on loopback only (`require_key`) and answers only to loopback names in `Host`: a page
whose name was rebound to 127.0.0.1 sends its own name there. With a key every route but `/health` and the page itself
(which holds no data) needs `Authorization: Bearer KEY`. State changes are refused when the browser says that they come
from another origin.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from shadowprice.errors import RouterError
from shadowprice.router.settings import check_key

OPEN = ("/health", "/", "/dashboard")
PAGE = "/page/"
READS = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS)
ADMIN_KEY: web.AppKey[bytes | None] = web.AppKey("admin_key")


class Refused(Exception):
    """A request that gets an error response: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as in a URL, is this machine's loopback."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def require_key(host: str, admin_key: str | None) -> None:
    """Raise RouterError when an admin port on `host` would be open to others, or the key cannot be sent in a header."""
    if admin_key is None:
        if not is_loopback(host):
            raise RouterError(
                f"--prometheus-host is {host!r} without --admin-api-key (or SHADOWPRICE_ADMIN_API_KEY); "
                "expected a loopback address (127.0.0.1, ::1, localhost) or a key"
            )
    else:
        check_key("--admin-api-key", admin_key)


def admit(request: web.Request) -> None:
    """Raise Refused unless the request may go on."""
    key = request.app[ADMIN_KEY]
    if key is None and request.path != "/health":
        _check_host(request)
    if request.method not in READS:
        _check_origin(request)
    if key is not None and not _is_open(request):
        _check_key(request, key)


def _is_open(request: web.Request) -> bool:
    return request.method in READS and (request.path in OPEN or request.path.startswith(PAGE))


def _check_host(request: web.Request) -> None:
    host = request.headers.get(hdrs.HOST, "")
    if not is_loopback(_hostname(host)):
        raise Refused(
            403,
            "host_not_allowed",
            f"Host is {host!r}; without an admin key expected localhost, 127.0.0.1 or [::1]",
        )


def _check_origin(request: web.Request) -> None:
    """The scheme is not compared: TLS may end before this port."""
    host, origin = request.headers.get(hdrs.HOST, ""), request.headers.get(hdrs.ORIGIN)
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("same-origin", "none"):
        raise Refused(403, "cross_site", f"Sec-Fetch-Site is {site!r}; expected same-origin, or no browser")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise Refused(403, "cross_site", f"Origin is {origin!r}; expected that of {host!r}, or none")


def _check_key(request: web.Request, key: bytes) -> None:
    given = request.headers.get(hdrs.AUTHORIZATION)
    if given is None:
        raise Refused(401, "missing_admin_key", "no Authorization header; expected Authorization: Bearer ADMIN_KEY")
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "missing_admin_key", "Authorization is not of the scheme Bearer; expected Bearer ADMIN_KEY")
    if not hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), key):
        raise Refused(401, "invalid_admin_key", "the key in Authorization is not the admin key of this router")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
