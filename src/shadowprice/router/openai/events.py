"""What is read from an event stream as it passes: tokens, usage, its proper end."""

import re

from shadowprice.router.openai.body import usage_of

EVENT = b"\ndata: {"  # at the beginning of a line: a token may say the same
FIRST = EVENT[1:]
DELTA = b".delta" + EVENT  # of the Responses API, whose other events hold no token
WHOLE = b"\n\n"  # ends an event: nothing that is looked for goes on behind it
USAGE = b'"usage":'
TAIL = 512  # bytes kept of a stream: what is looked for may lie across two reads
ROLE = b'"assistant"'  # in every event that tells who speaks; in others seldom
EMPTY = rb'"\w+": ?(?:""|null|\[\])'
NO_TOKEN = re.compile(rb'"delta": ?\{(?:%b, ?)*"role": ?"assistant"(?:, ?%b)*\}' % (EMPTY, EMPTY))  # only who speaks
RESPONSES = re.compile(rb"^event: response\.[\w.]+\n", re.MULTILINE)
NO_CHOICE = re.compile(rb'"choices": ?\[\], ?"usage":')  # of the last event, which holds only the usage
DONE = re.compile(rb"^data: ?\[DONE\]|^event: (?:response\.completed|message_stop)", re.MULTILINE)


def token_event(text: bytes) -> bytes:
    """What begins an event that holds a token, in a stream that begins so."""
    return DELTA if RESPONSES.search(text) else EVENT


def tokens_of_whole(data: bytes, event: bytes) -> int:
    """Tokens in whole events after others that were whole; -1 if it is not that, tells the usage or who speaks."""
    if not data.endswith(WHOLE) or USAGE in data or ROLE in data:
        return -1
    return data.count(event) + (event is EVENT and data.startswith(FIRST))


def tokens_in(before: bytes, text: bytes, event: bytes) -> tuple[int, tuple[int, int] | None]:
    """Tokens that begin in the text after what `tail_of` kept (`before`), and the usage that it tells.

    event: what begins one with a token. -1 token when one whose beginning came before turns out to hold none.
    """
    tokens = text.count(event, max(len(before) - len(event) + 1, 0))
    if ROLE in text:
        tokens -= _ends_after(len(before), NO_TOKEN, text)
    if USAGE not in text:
        return tokens, None
    return tokens - _ends_after(len(before), NO_CHOICE, text), usage_of(text)


def later_usage(before: tuple[int, int] | None, usage: tuple[int, int] | None) -> tuple[int, int] | None:
    """What is known after one more usage: it replaces the one before, whose prompt stays if it names none."""
    if before is None or usage is None:
        return usage or before
    return usage[0] or before[0], usage[1]


def tail_of(text: bytes) -> bytes:
    """What is to be kept of it, to be put before the next bytes."""
    return WHOLE if text.endswith(WHOLE) else text[-TAIL:]


def _ends_after(position: int, pattern: re.Pattern[bytes], text: bytes) -> int:
    """How many matches end after that position."""
    return sum(found.end() > position for found in pattern.finditer(text))
