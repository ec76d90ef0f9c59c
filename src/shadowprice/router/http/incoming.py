"""What a client sends: parsed within limits, to whole requests or a refusal."""

from collections import deque
from collections.abc import Callable

import httptools

from shadowprice.router.http.head import OF_REQUEST, Fields, Lines, field_line, without
from shadowprice.router.http.held_bodies import HeldBodies
from shadowprice.router.http.keys import Keys
from shadowprice.router.http.known import Known, learned
from shadowprice.router.http.request import Request, RequestHead, framing_again, origin_form, path_of
from shadowprice.router.settings import Settings

PREFLIGHT = b"access-control-request-method"  # a browser's question before another one: it never carries a key (Fetch)
SMALL_PIECE = 1024  # bytes: smaller pieces of a body are put together at once, an object for each would outweigh them


class Incoming:
    """whole: requests that have come. refusal: status and message for what is none; nothing is heard after it."""

    def __init__(self, settings: Settings, keys: Keys, bodies: HeldBodies, clock: Callable[[], float]) -> None:
        self.settings, self.keys, self.bodies, self.clock = settings, keys, bodies, clock
        self.parser = httptools.HttpRequestParser(self)
        self.whole: deque[Request] = deque()
        self.deaf = False  # what comes now is no request: the last one has come
        self.held_bytes = 0  # of bodies that have come, and were not let go by whoever took the requests
        self.between = True  # nothing of a request has come since the last one: the parser stands at a beginning
        self.known: Known[RequestHead] | None = None
        self._new_request()

    def _new_request(self) -> None:
        self.target = b""
        self.lines: Lines = []
        self.fields: Fields = {}
        self.connection = self.length = b""
        self.version = ""
        self.overhead_bytes = self.head_bytes = self.body_bytes = 0  # overhead: in a row, without any of a body
        self.body: list[bytes | bytearray] = []
        self.has_body = self.head_complete = self.expects_continue = False
        self.hosts = 0
        self.refusal: tuple[int, str] | None = None
        self.begun_s = 0.0

    def as_before(self, data: bytes) -> Request | None:
        """The request, if the data is one whole and its head that of the one before, but for the length of its body."""
        if self.known is None or not self.between:
            return None
        body_at = self.known.body_at(data)
        size = len(data) - body_at
        if not body_at or size > self.settings.max_payload_size or not self.bodies.take(size):
            return None
        self.held_bytes += size
        return Request(self.known.head, data[body_at:])

    def feed(self, data: bytes) -> None:
        """More has come."""
        between, whole = self.between, len(self.whole)
        self._take(data)
        if between and self.between and len(self.whole) == whole + 1 and not self.deaf:
            request = self.whole[-1]
            if request.head.chunks_allowed:
                self.known = learned(data, request.body, request.head)

    def _take(self, data: bytes) -> None:
        now_s = self.clock()
        self.begun_s = self.begun_s or now_s
        self.overhead_bytes += len(data)
        self._parse(data)
        if self.target:  # of a request that is not whole yet
            self.begun_s = self.begun_s or now_s
        if self.overhead_bytes > self.settings.max_header_size:
            self._head_too_large()
        self.deaf = self.deaf or self.refusal is not None

    @property
    def due_s(self) -> float:
        """When what has begun must be here: a head within header_timeout_s, a body then not slower than 1 kB/s."""
        return self.begun_s + self.settings.header_timeout_s + self.body_bytes / 1024

    def _parse(self, data: bytes | memoryview) -> None:
        while data and self.refusal is None:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:  # not taken up: the body follows, or the next request
                before, self.parser = self.parser, httptools.HttpRequestParser(self)
                if self.head_complete and self.refusal is None:
                    keep_alive = before.should_keep_alive()
                    self.parser.feed_data(framing_again(before.get_method(), self.version, self.length, keep_alive))
                data = memoryview(data)[int(upgrade.args[0]) :]
            except httptools.HttpParserError as error:
                if not self.deaf:
                    self.refusal = self.refusal or (400, f"the request is not valid HTTP/1.1: {error}")
                return

    # httptools

    def on_message_begin(self) -> None:
        self.between = False

    def on_url(self, url: bytes) -> None:
        if not self.head_complete:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:  # a trailer: read and left out
            return
        self.head_bytes += len(name) + len(value) + 4
        lower = name.lower()
        if lower in OF_REQUEST:
            self._of_this_hop(lower, value)
            return
        self.fields[lower] = value
        self.lines.append(field_line(name, value))
        if lower == b"host":
            self.hosts += 1

    def _of_this_hop(self, lower: bytes, value: bytes) -> None:
        if lower == b"connection":
            self.connection = self.connection + b"," + value if self.connection else value
        elif lower == b"content-length":
            self.has_body, self.length = True, value
            if int(value) > self.settings.max_payload_size:
                self._too_large()
        elif lower == b"transfer-encoding":
            self.has_body = True
            if value.lower() != b"chunked":
                self.refusal = self.refusal or (501, f"Transfer-Encoding {value!r}: only chunked is understood")
            elif self.parser.get_http_version() == "1.0":
                self.refusal = self.refusal or (400, "Transfer-Encoding in an HTTP/1.0 request")
        elif lower == b"expect":
            self.expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        if self.head_complete:
            return
        self.head_complete = True
        most = self.settings.max_header_size
        if len(self.target) + self.head_bytes > most:
            self._head_too_large()
        self.overhead_bytes = 0
        self.version = version = self.parser.get_http_version()
        if version != "1.1":
            self._older_or_newer(version)
        elif self.hosts != 1:
            self.refusal = self.refusal or (400, f"{self.hosts} Host headers; expected one")
        method = self.parser.get_method()
        if method in (b"CONNECT", b"TRACE"):  # a tunnel; an echo of headers that are not the client's to see
            self.refusal = self.refusal or (501, f"the method {method.decode()} is not supported")
        elif not self.target.startswith(b"/"):
            self._target_is_no_path(method)
        if b"#" in self.target:  # some workers would cut it off, and route by what is left
            self.refusal = self.refusal or (400, "the request target has a fragment ('#'); expected none")
        if not (method == b"OPTIONS" and not self.has_body and PREFLIGHT in self.fields):
            self.refusal = self.refusal or self.keys.refusal(self.fields, self.target)

    def _target_is_no_path(self, method: bytes) -> None:
        changed = origin_form(method, self.target)
        if changed is None:
            self.refusal = self.refusal or (400, "the request target is neither a path nor a URL")
            return
        self.target, host = changed
        if host is not None:
            self.fields[b"host"] = host
            self.lines = [field_line(b"Host", host), *without((b"host",), self.lines)]

    def _older_or_newer(self, version: str) -> None:
        self.expects_continue = False
        if version != "1.0":
            self.refusal = self.refusal or (505, f"HTTP/{version}; expected HTTP/1.1 or HTTP/1.0")
        elif self.hosts > 1:
            self.refusal = self.refusal or (400, f"{self.hosts} Host headers; expected at most one")

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self.overhead_bytes = 0
        if self.body_bytes > self.settings.max_payload_size:
            self._too_large()
        elif self.refusal is None and not self.bodies.take(len(body)):
            self.refusal = (503, "the router holds as many bodies as it may (--max-buffered-size)")
        elif self.refusal is None:
            self.held_bytes += len(body)
            if len(body) < SMALL_PIECE and self.body:
                if type(self.body[-1]) is not bytearray:
                    self.body.append(bytearray())
                self.body[-1] += body
            else:
                self.body.append(body)

    def on_message_complete(self) -> None:
        if self.refusal is not None or self.deaf:
            return
        if self.connection and self.has_body and self.parser.should_upgrade():
            return  # the parser takes no body for its own where an upgrade is offered
        keep_alive = self.parser.should_keep_alive()
        self.deaf = not keep_alive
        head = RequestHead(
            self.parser.get_method(),
            self.target,
            self.lines,
            self.fields,
            self.connection,
            keep_alive=keep_alive,
            chunks_allowed=self.version != "1.0",
        )
        self.between = True
        self.whole.append(Request(head, b"".join(self.body) if self.has_body else None))
        self._new_request()

    def let_go(self, size: int) -> None:
        """So many bytes of bodies that have come are needed no more."""
        self.held_bytes -= size
        self.bodies.let_go(size)

    @property
    def seen(self) -> tuple[str, str]:
        """Method and path of what has not come whole, empty as long as they are not known."""
        if not self.target.startswith(b"/"):
            return "", ""
        return self.parser.get_method().decode("latin-1"), path_of(self.target)

    def _head_too_large(self) -> None:
        most = self.settings.max_header_size
        self.refusal = self.refusal or (431, f"the request's head, or what comes with its body, has over {most} bytes")

    def _too_large(self) -> None:
        self.refusal = self.refusal or (413, f"the body has over {self.settings.max_payload_size} bytes")
