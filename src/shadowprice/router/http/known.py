"""Heads that are known: on one connection they are mostly alike, but for the length of what follows.

What a parser once made of a head it would make of the same bytes again, so it is not asked for those. This holds where
the head was all that came before the body, which came whole.
"""

import re
from typing import Generic, TypeVar

Head = TypeVar("Head")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
LARGEST = 8192  # bytes of a head that is remembered
MOST_DIGITS = 9


class Known(Generic[Head]):
    """before, after: what stands around the length's digits, to the end of the head. head: what it was read as."""

    __slots__ = ("after", "before", "begin", "head")

    def __init__(self, before: bytes, after: bytes, head: Head) -> None:
        self.before, self.after, self.head = before, after, head
        self.begin = len(before)

    def body_at(self, data: bytes) -> int:
        """Where the body begins if the data is one whole message with this head; else 0."""
        if not data.startswith(self.before):
            return 0
        end = data.find(b"\r", self.begin, self.begin + MOST_DIGITS + 1)
        digits = data[self.begin : end]
        if not digits.isdigit() or not data.startswith(self.after, end):
            return 0
        body_at = end + len(self.after)
        return body_at if len(data) - body_at == int(digits) else 0


def learned(data: bytes, body: bytes | None, head: Head) -> Known[Head] | None:
    """What is known after a message that came as this data; None where its head is not all that is before its body."""
    if not body or not data.endswith(body):
        return None
    text = data[: len(data) - len(body)]
    length = LENGTH.search(text)
    if len(text) > LARGEST or not text.endswith(b"\r\n\r\n") or length is None or int(length[1]) != len(body):
        return None
    return Known(text[: length.start(1)], text[length.end(1) :], head)
