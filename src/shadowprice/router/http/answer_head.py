"""The head of a worker's answer, and how it goes on to a client."""

from shadowprice.router.http.head import Lines, named_by, response_head, without
from shadowprice.router.http.known import LENGTH
from shadowprice.router.http.request import RequestHead

BODILESS = frozenset((204, 304))
EVENTS = b"text/event-stream"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSED = b"Connection: close\r\n"


class AnswerHead:
    """The head of an answer. lines: of its headers, those that go on; connection: the value of that one.

    framed: has Content-Length or chunks: else its end is the connection's. Answers of one worker share it while alike.
    """

    __slots__ = ("_rewritten", "connection", "content_type", "framed", "has_length", "lines", "status")

    def __init__(self) -> None:
        self.status = 0
        self.lines: Lines = []
        self.connection = self.content_type = b""
        self.framed = self.has_length = False
        self._rewritten: tuple[bytes, bytes] | None = None

    def going_on(self) -> tuple[bytes, bytes]:
        """The head as it goes to a client that stays connected: what stands before and after the length's digits."""
        if self._rewritten is None:
            dropped = named_by(self.connection)
            lines = without(dropped, self.lines) if dropped else self.lines
            text = response_head(self.status, lines, b"", keep_alive=True)
            digits = LENGTH.search(text)
            assert digits is not None
            self._rewritten = text[: digits.start(1)], text[digits.end(1) :]
        return self._rewritten

    def framing_for(self, request: RequestHead, *, only_head: bool) -> bytes:
        """How the client learns where the body ends: CHUNKED, CLOSED (the connection), or b"": by its length."""
        if only_head or self.status in BODILESS or self.has_length:
            return b""
        return CHUNKED if request.chunks_allowed else CLOSED

    def text_for(self, request: RequestHead, framing: bytes, *, keep_alive: bool) -> bytes:
        """The head as it goes to the client that asked."""
        dropped = named_by(self.connection)
        if self.status == 204:  # has no content, and so no length
            dropped |= {b"content-length"}
        lines = without(dropped, self.lines) if dropped else self.lines
        more = framing if framing is CHUNKED else b""
        if keep_alive and not request.chunks_allowed:
            more += b"Connection: keep-alive\r\n"
        return response_head(self.status, lines, more, keep_alive=keep_alive)


def chunked(data: bytes, *, last: bool) -> bytes:
    """The data as one chunk; last: and the end of all."""
    end = b"0\r\n\r\n" if last else b""
    return b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end
