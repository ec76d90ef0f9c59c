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

    done: its text said so. usage: prompt and completion tokens as the worker counted them. passes_whole: may a chunk of
    whole events pass as it is: nothing of the one before is open.
    """

    __slots__ = ("_event", "_plain", "_plain_bytes", "_tail", "done", "events", "framed", "passes_whole", "usage")

    def __init__(self, *, events: bool, framed: bool) -> None:
        self.events, self.framed = events, framed
        self.done = self.passes_whole = False
        self.usage: tuple[int, int] | None = None
        self._tail, self._event = b"\n", EVENT
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
        if before is WHOLE and generated and self.framed and (tokens := tokens_of_whole(data, self._event)) >= 0:
            return tokens
        text = before + data
        if not generated and self._event is EVENT:
            self._event = token_event(text)
        tokens, usage = tokens_in(before, text, self._event)
        self.usage = later_usage(self.usage, usage)
        self._tail = tail_of(text)
        self.passes_whole = self._tail is WHOLE and generated + tokens > 0
        if not self.framed and DONE.search(text):
            self.done = True
        return tokens

    def chunk(self, chunk: bytes) -> int:
        """Tokens in a chunk of whole events, in its framing; -1 where it is none such, and `piece` has to read it."""
        if self.passes_whole and USAGE not in chunk and ROLE not in chunk and chunk.endswith(WHOLE_CHUNK):
            return chunk.count(self._event)  # the line of the chunk's size stands before the first
        return -1

    def end(self) -> None:
        """The answer is whole: see what it says it took."""
        if self._plain and self._plain_bytes <= LARGEST_WITH_USAGE:
            self.usage = usage_of_whole(b"".join(self._plain))
