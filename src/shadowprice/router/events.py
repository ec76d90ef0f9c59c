"""What is read from an event stream as it passes: tokens, usage, its proper end."""

import re

from shadowprice.router.body import usage_of

EVENT = b"\ndata: {"  # at the beginning of a line: a token may say the same
FIRST = EVENT[1:]
WHOLE = b"\n\n"  # ends an event: nothing that is looked for goes on behind it
USAGE = b'"usage":'
TAIL = 512  # bytes kept of a stream: what is looked for may lie across two reads
NO_TOKEN = re.compile(rb'"role": ?"assistant", ?"content": ?(?:""|null)')  # of a chat's first event: only who speaks
NO_CHOICE = re.compile(rb'"choices": ?\[\], ?"usage":')  # of the last event, which holds only the usage
DONE = re.compile(rb"^data: ?\[DONE\]|^event: (?:response\.completed|message_stop)", re.MULTILINE)


def tokens_of_whole(data: bytes) -> int:
    """Tokens in whole events after the first ones; -1 if it is not that, or tells the usage."""
    if not data.endswith(WHOLE) or USAGE in data:
        return -1
    return data.count(EVENT) + data.startswith(FIRST)


def tokens_in(before: bytes, text: bytes, *, first: bool) -> tuple[int, tuple[int, int] | None]:
    """Tokens that begin in the text after what `tail_of` kept (`before`), and the usage that it tells.

    first: at most one token has come. -1 token when an event whose beginning came before turns out to hold none.
    """
    tokens = text.count(EVENT, max(len(before) - len(EVENT) + 1, 0))
    if first:
        tokens -= _ends_after(len(before), NO_TOKEN, text)
    if USAGE not in text:
        return tokens, None
    return tokens - _ends_after(len(before), NO_CHOICE, text), usage_of(text)


def tail_of(text: bytes) -> bytes:
    """What is to be kept of it, to be put before the next bytes."""
    return WHOLE if text.endswith(WHOLE) else text[-TAIL:]


def _ends_after(position: int, pattern: re.Pattern[bytes], text: bytes) -> int:
    """How many matches end after that position."""
    return sum(found.end() > position for found in pattern.finditer(text))
