"""What is read of an answer as it passes: its tokens, its usage, its proper end."""

from shadowprice.router.openai.body import usage_of_whole
from shadowprice.router.openai.events import (
    DONE,
    EVENT,
    ROLE,
    USAGE,
    WHOLE,
    later_usage,
    tail_of,
    token_event,
    tokens_in,
    tokens_of_whole,
)

LARGEST_WITH_USAGE = 1 << 22  # bytes of a plain answer in which token counts are looked for
WHOLE_CHUNK = WHOLE + b"\r\n"


class Reading:
    """events: is it an event stream. framed: does something else than its text say where it ends.

    event: what begins one that holds a token. done: its text said so. usage: prompt and completion tokens as the worker
    counted them. passes_whole: may a chunk of whole events pass as it is: nothing of the one before is open.
    """

    __slots__ = ("_plain", "_plain_bytes", "_tail", "done", "event", "events", "framed", "passes_whole", "usage")

    def __init__(self, *, events: bool, framed: bool) -> None:
        self.events, self.framed = events, framed
        self.done = self.passes_whole = False
        self.usage: tuple[int, int] | None = None
        self._tail, self.event = b"\n", EVENT
        self._plain: list[bytes] = []
        self._plain_bytes = 0

    def piece(self, data: bytes, generated: int) -> int:
        """Tokens in what came; generated: those before. -1 when one whose beginning came before turns out to be none.

        Only an event stream tells them as it comes; a plain answer is kept for its usage.
        """
        if not self.events:
            self._plain_bytes += len(data)
            if self._plain_bytes <= LARGEST_WITH_USAGE:
                self._plain.append(data)
            return 0
        before = self._tail
        if before is WHOLE and generated and self.framed and (tokens := tokens_of_whole(data, self.event)) >= 0:
            return tokens
        text = before + data
        if not generated and self.event is EVENT:
            self.event = token_event(text)
        tokens, usage = tokens_in(before, text, self.event)
        self.usage = later_usage(self.usage, usage)
        self._tail = tail_of(text)
        self.passes_whole = self._tail is WHOLE and generated + tokens > 0
        if not self.framed and DONE.search(text):
            self.done = True
        return tokens

    def passes(self, chunk: bytes) -> bool:
        """May this chunk, in its framing, pass as it is: then it holds a token for each `event` in it."""
        return self.passes_whole and chunk.endswith(WHOLE_CHUNK) and USAGE not in chunk and ROLE not in chunk

    def end(self) -> None:
        """The answer is whole: see what it says it took."""
        if self._plain and self._plain_bytes <= LARGEST_WITH_USAGE:
            self.usage = usage_of_whole(b"".join(self._plain))
